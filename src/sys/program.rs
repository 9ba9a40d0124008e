//! The program itself, in memory.

#![allow(unsafe_code, reason = "symbols of the linker")]

use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

unsafe extern "C" {
    /// Where the program begins in memory, and where its code ends (ld(1)). They have addresses, and no values.
    static __executable_start: u8;
    static etext: u8;
}

/// Maps the code now, in one call: else each part of it is mapped by a fault when it is first touched, which takes a
/// microsecond or more, and most parts are touched once. Before Linux 5.14 nothing happens.
pub fn map_code() {
    const PAGE: usize = 4096;
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let Some(first) = NonNull::new(start.cast_mut()) else { return };
    // SAFETY: this advice changes no byte and no mapping, whatever lies there: it reads pages that may be read.
    let _ = unsafe {
        madvise(first.cast(), (end.addr() - start.addr()).next_multiple_of(PAGE), MmapAdvise::MADV_POPULATE_READ)
    };
}
