//! The hash of consistent hashing.

/// The hash of a key. The same in every replica, build and version of the waypoint: endpoints are chosen by
/// it. FNV-1a, and the last step of MurmurHash3 to spread it over all bits.
#[must_use]
pub fn hash_key(key: &[u8]) -> u64 {
    mix(key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)))
}

/// Spreads what differs in a few bits over all of them.
pub(crate) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The hash of a key in one of many roles.
pub(crate) fn hash_nth(key: u64, nth: u64) -> u64 {
    mix(key ^ mix(nth.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_for_ever() {
        for (key, expected) in
            [("", 0xefd0_1f60_ba99_2926), ("user-1", 0x41a2_fca5_c684_01c5), ("user-2", 0xa9f4_ad0c_2263_143b)]
        {
            assert_eq!(hash_key(key.as_bytes()), expected, "{key}: {:#x}", hash_key(key.as_bytes()));
        }
    }
}
