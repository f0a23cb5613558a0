//! `hugetlb.*`: limits by page size, the same in v1 and v2 but for the files' names.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use super::changes::Changes;
use super::files::{keyed, number};
use super::stats::HugePageStats;
use crate::error::{Error, Result};
use crate::spec::HugepageLimit;

/// The limits, on use and, where the kernel has it (Linux 5.7), on reservation.
pub(super) fn changes(v2: bool, limits: &[HugepageLimit], changes: &mut Changes) -> Result<()> {
    let suffix = if v2 { "max" } else { "limit_in_bytes" };
    for HugepageLimit { page_size, limit } in limits {
        let number = page_size.strip_suffix("KB").or_else(|| page_size.strip_suffix("MB"));
        let number = number.or_else(|| page_size.strip_suffix("GB")).unwrap_or_default();
        let valid = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        if number.is_empty() || !valid {
            return Err(Error::invalid("limit huge pages of", format!("`{page_size}`"))
                .hint("a page size is written as the kernel does: `64KB`, `2MB`, `1GB`"));
        }
        changes.set(format!("hugetlb.{page_size}.{suffix}"), limit);
        changes.set_if_there(format!("hugetlb.{page_size}.rsvd.{suffix}"), limit);
    }
    Ok(())
}

/// Of every page size that the machine has.
pub(super) fn stats(v2: bool, directory: BorrowedFd<'_>) -> BTreeMap<String, HugePageStats> {
    page_sizes()
        .into_iter()
        .map(|size| {
            let of = |name: &str| number(directory, &format!("hugetlb.{size}.{name}"));
            let stats = if v2 {
                HugePageStats {
                    usage_bytes: of("current"),
                    peak_bytes: None,
                    limit_bytes: of("max"),
                    limit_hits: keyed(directory, &format!("hugetlb.{size}.events"), "max"),
                }
            } else {
                HugePageStats {
                    usage_bytes: of("usage_in_bytes"),
                    peak_bytes: of("max_usage_in_bytes"),
                    limit_bytes: of("limit_in_bytes").filter(|limit| *limit < 1 << 62),
                    limit_hits: of("failcnt"),
                }
            };
            (size, stats)
        })
        .filter(|(_, stats)| *stats != HugePageStats::default())
        .collect()
}

/// The machine's page sizes as control files name them.
fn page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some(size_name(kib))
        })
        .collect()
}

fn size_name(kib: u64) -> String {
    match kib {
        kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        kib => format!("{kib}KB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(v2: bool, page_size: &str) -> Result<Changes> {
        let mut made = Changes::default();
        let limits = [HugepageLimit { page_size: page_size.to_owned(), limit: 0 }];
        changes(v2, &limits, &mut made).map(|()| made)
    }

    #[test]
    fn use_and_reservation_are_limited_under_each_version_s_names() {
        assert_eq!(
            listed(true, "2MB").unwrap().listed(),
            [("hugetlb.2MB.max", "0"), ("hugetlb.2MB.rsvd.max", "0")]
        );
        assert_eq!(
            listed(false, "1GB").unwrap().listed(),
            [("hugetlb.1GB.limit_in_bytes", "0"), ("hugetlb.1GB.rsvd.limit_in_bytes", "0")]
        );
    }

    #[test]
    fn refuses_a_page_size_that_would_name_another_file() {
        for size in ["", "MB", "2", "02MB", "../2MB", "2MB/x", "2mb", "-2MB"] {
            assert!(listed(true, size).is_err(), "{size}");
        }
    }

    #[test]
    fn page_sizes_are_named_as_the_kernel_does() {
        let names = [64, 2048, 1 << 20].map(size_name);
        assert_eq!(names, ["64KB", "2MB", "1GB"]);
    }
}
