//! memcpy and memmove for musl's binary. The C library's own go byte by byte to an aligned address and after the last
//! whole word, each byte an instruction that takes as long as a small copy: and of the thousands of copies of an ADD most
//! have some ten bytes.

#![allow(unsafe_code, reason = "functions of C, which take plain addresses")]

/// `memcpy(3)`.
///
/// # Safety
/// Both regions have `len` bytes, and do not overlap.
#[cfg_attr(target_env = "musl", unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: regions that do not overlap are among those that memmove takes.
    unsafe { memmove(to, from, len) }
}

/// `memmove(3)`.
///
/// # Safety
/// Both regions have `len` bytes.
#[cfg_attr(target_env = "musl", unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: each branch has as many bytes as it moves ends of; the last ones as many as they count down from.
    unsafe {
        match len {
            0 => {}
            1 => to.write(from.read()),
            2..=3 => ends::<2>(to, from, len),
            4..=7 => ends::<4>(to, from, len),
            8..=15 => ends::<8>(to, from, len),
            16..=32 => ends::<16>(to, from, len),
            33..=64 => ends::<32>(to, from, len),
            _ if to.addr().wrapping_sub(from.addr()) >= len => core::arch::asm!(
                "rep movsb",
                inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags)
            ),
            // The target begins inside of the source, which is taken from its end on, so that nothing is overwritten unread.
            _ => {
                let mut left = len;
                while left > 64 {
                    left -= 32;
                    ends::<32>(to.add(left), from.add(left), 32);
                }
                memmove(to, from, left);
            }
        }
    }
    to
}

/// Moves the first and the last `N` bytes of `len`, which meet or overlap.
///
/// # Safety
/// Both regions have `len` bytes, and that is `N` or more.
unsafe fn ends<const N: usize>(to: *mut u8, from: *const u8, len: usize) {
    let last = len - N;
    // SAFETY: the caller has `N` bytes at the start and at `last` of both regions; arrays of bytes need no alignment. Both
    // are read before one is written, so the regions may overlap.
    unsafe {
        let (first, second) = (from.cast::<[u8; N]>().read(), from.add(last).cast::<[u8; N]>().read());
        to.cast::<[u8; N]>().write(first);
        to.add(last).cast::<[u8; N]>().write(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_are_moved_wherever_they_overlap(from in 0usize..300, to in 0usize..300, len in 0usize..200) {
            let before: Vec<u8> = (0..=250).cycle().take(500).collect();
            let (mut moved, mut expected) = (before.clone(), before);
            expected.copy_within(from..from + len, to);
            let start = moved.as_mut_ptr();
            // SAFETY: neither region ends behind the vector's 500 bytes, since no sum of the numbers above is larger.
            let end = unsafe { memmove(start.add(to), start.add(from), len) };
            proptest::prop_assert_eq!(end, start.wrapping_add(to));
            proptest::prop_assert_eq!(moved, expected);
        }
    }

    #[test]
    fn bytes_are_copied() {
        for len in 0..200 {
            let from: Vec<u8> = (1..=200).collect();
            let mut to = vec![0; 201];
            // SAFETY: both vectors have 200 bytes or more, which no length exceeds, and they are two allocations.
            unsafe { memcpy(to.as_mut_ptr(), from.as_ptr(), len) };
            assert!(to.starts_with(&from[..len]) && to[len..].iter().all(|byte| *byte == 0), "{len}");
        }
    }
}
