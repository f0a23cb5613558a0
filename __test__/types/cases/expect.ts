/** Claims about types: they hold if this folder compiles. */

/** Whether two types are the same, `any` and `readonly` included. */
export type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles for `holds<Equal<A, B>>()` only where they are. */
export declare function holds<Claim extends true>(): Claim;
