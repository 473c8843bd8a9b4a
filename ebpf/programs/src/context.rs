//! Reading addresses out of a program's context. The verifier wants each field read by itself, four
//! bytes at a fixed offset from the context. The compiler would rather merge the reads of two branches
//! into one through a computed pointer, even volatile ones; so these are instructions of ours.

/// Reads the `n`th four-byte word of a field of a context struct.
macro_rules! word {
    ($context:expr, $type:ty, $field:ident, $n:literal) => {{
        let word: u64;
        core::arch::asm!(
            "{word} = *(u32 *)({context} + {offset})",
            word = out(reg) word,
            context = in(reg) $context,
            offset = const core::mem::offset_of!($type, $field) + 4 * $n,
            options(nostack, readonly),
        );
        word as u32
    }};
}

/// Reads a field of four words: an IPv6 address.
macro_rules! words {
    ($context:expr, $type:ty, $field:ident) => {
        [
            word!($context, $type, $field, 0),
            word!($context, $type, $field, 1),
            word!($context, $type, $field, 2),
            word!($context, $type, $field, 3),
        ]
    };
}
