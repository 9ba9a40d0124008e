//! Numbers that come again from the same seed.

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// The seed of this run: `LOST_SEED`, or another each time. It is printed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("LOST_SEED").ok().map(|text| text.parse().unwrap());
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = given.unwrap_or_else(now);
    println!("LOST_SEED={seed}");
    seed
}

/// How long what goes on until it is stopped goes on: `LOST_SECONDS`, or this many seconds.
pub(crate) fn duration(seconds: u64) -> std::time::Duration {
    let given = std::env::var("LOST_SECONDS").ok().map(|text| text.parse().unwrap());
    std::time::Duration::from_secs(given.unwrap_or(seconds))
}
