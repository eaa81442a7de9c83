//! An allocator that counts, so that what is taken is seen also where no page of it was touched, and what stays to the byte.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

static NOW: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);
static ALONE: Mutex<()> = Mutex::const_new(());

struct Counting;

fn count(change: isize) {
    let now = NOW.fetch_add(change, Ordering::Relaxed) + change;
    MOST.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What is allocated now, in bytes.
pub(crate) fn now() -> isize {
    NOW.load(Ordering::Relaxed)
}

/// What the process holds more than when this was made. There is one at a time; tests that make none may run beside it.
pub(crate) struct Watch {
    before: isize,
    _alone: MutexGuard<'static, ()>,
}

impl Watch {
    pub(crate) async fn begin() -> Self {
        let alone = ALONE.lock().await;
        let before = now();
        MOST.store(before, Ordering::Relaxed);
        Self { before, _alone: alone }
    }

    /// From now on; what was made meanwhile is none of it.
    pub(crate) fn again(&mut self) {
        self.before = now();
        MOST.store(self.before, Ordering::Relaxed);
    }

    /// At any moment since it was made, the attackers' own share included.
    pub(crate) fn at_most(&self, mib: usize, attack: &str) {
        let most = usize::try_from(MOST.load(Ordering::Relaxed) - self.before).unwrap_or(0);
        println!("{attack}: {} KiB of memory more, at most", most >> 10);
        assert!(most >> 20 < mib, "{attack}: {} MiB", most >> 20);
    }
}
