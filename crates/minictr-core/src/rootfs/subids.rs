//! stub
use crate::error::Result;
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub start: u32,
    pub count: u32,
}
pub fn subordinate_ranges(_uid: u32) -> Result<(Vec<Range>, Vec<Range>)> {
    Ok((vec![], vec![]))
}
#[derive(Debug)]
pub struct IdPool;
impl IdPool {
    pub fn blocks(&self) -> u32 {
        4096
    }
    pub fn block(&self, n: u32) -> (u32, u32) {
        (0x7000_0000 + n * 65536, 0x7000_0000 + n * 65536)
    }
}
pub fn root_pool() -> Result<IdPool> {
    Ok(IdPool)
}
