//! An allocator that counts what this thread asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count in front.
pub struct Counting;

thread_local! {
    static REQUESTED: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that `work` asked for in all, whether or not it gave them back.
pub fn requested(work: &mut dyn FnMut()) -> usize {
    REQUESTED.set(0);
    work();
    REQUESTED.get()
}

fn count(size: usize) {
    // While a thread ends, its counter may be gone already; nobody asks then.
    let _ = REQUESTED.try_with(|requested| requested.set(requested.get() + size));
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a `Cell` only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
