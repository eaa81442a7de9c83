//! Tasks that share the cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::count::Count;
use crate::tools::{Failed, Result};

/// Something that takes one core for a while.
pub(crate) type Task<'a> = Box<dyn Fn() -> Result<Count> + Sync + 'a>;

pub(crate) fn two_at_a_time(tasks: &[Task<'_>]) -> Result<Count> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Count> {
        let mut count = Count::default();
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            count += task()?;
        }
        Ok(count)
    };
    let counts: Vec<Result<Count>> = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Failed("a thread panicked".into()))))
            .collect()
    });
    let mut total = Count::default();
    for count in counts {
        total += count?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_done_once_each_and_two_at_a_time() {
        let (one, other) = (std::sync::Barrier::new(2), AtomicUsize::new(0));
        let meets = || {
            one.wait();
            other.fetch_add(1, Ordering::Relaxed);
            Ok(Count { passed: 1, ..Count::default() })
        };
        // Each waits for another one: alone none would end.
        let tasks: Vec<Task<'_>> = vec![Box::new(meets), Box::new(meets), Box::new(meets), Box::new(meets)];
        assert_eq!(two_at_a_time(&tasks).unwrap().passed, 4);
        assert_eq!(other.load(Ordering::Relaxed), 4);
        let fails: Task<'_> = Box::new(|| Err(Failed("it fails".into())));
        assert!(two_at_a_time(&[fails]).is_err());
    }
}
