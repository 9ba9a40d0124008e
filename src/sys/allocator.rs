//! Memory from dlmalloc, where musl's own allocator would map and unmap all the time.

#![allow(unsafe_code, reason = "an allocator is unsafe by its kind")]

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dlmalloc::Dlmalloc;

/// dlmalloc behind a lock of std's: the one that it brings is musl's, and takes as long as all the rest.
#[derive(Debug, Default)]
pub struct Allocator;

static HEAP: Mutex<Dlmalloc> = Mutex::new(Dlmalloc::new());

fn heap() -> MutexGuard<'static, Dlmalloc> {
    HEAP.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: dlmalloc gives blocks of the size and alignment asked for, which no other block overlaps until they are given
// back; one thread at a time is in it, and nothing in it panics or asks this allocator for memory.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: an alignment is a power of two in every Layout, and that is all that dlmalloc asks for.
        unsafe { heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: an alignment is a power of two in every Layout, and that is all that dlmalloc asks for.
        unsafe { heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller of a GlobalAlloc gives back only what came from it, once, with the layout that it asked for.
        unsafe { heap().free(block, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block came from here with this layout, as the caller of a GlobalAlloc promises, and nobody uses it
        // while it may be moved.
        unsafe { heap().realloc(block, layout.size(), layout.align(), size) }
    }
}
