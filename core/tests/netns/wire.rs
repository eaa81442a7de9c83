//! The network between the namespaces: each has one interface (`tun`), whose other end is in this process. Packets wait here for as long as
//! the line is long, are lost as often as the line is bad, and do not pass where it is cut. So the nodes' own kernels do TCP, UDP and
//! their retransmissions, and any kernel will do: `netem`, which delays packets in the kernel, is missing in many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::ioctl::{Setter, ioctl};

/// Most packets under way at once; more are lost, as in a router.
const ROOM: usize = 20_000;
/// TUNSETIFF.
const SET_INTERFACE: rustix::ioctl::Opcode = 0x4004_54ca;
/// IFF_TUN | IFF_NO_PI: packets of IP, with nothing before them.
const FLAGS: i16 = 0x1001;

/// What the kernel takes to make an interface.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Makes an interface in the namespace of this process, from where it can be moved; it goes with the file.
pub(crate) fn interface(name: &str) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = Request { name: [0; 16], flags: FLAGS, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads (and writes) a `struct ifreq`, of which this has size and layout, and keeps no pointer to it.
    unsafe { ioctl(file.as_fd(), Setter::<SET_INTERFACE, Request>::new(request))? };
    Ok(file)
}

/// How the lines are.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// One way.
    pub(crate) delay: Duration,
    /// Up to so much more, at random: so packets overtake each other.
    pub(crate) jitter: Duration,
    /// Lost packets in a thousand.
    pub(crate) loss: u64,
    /// From whom to whom nothing passes.
    pub(crate) cut: Vec<(usize, usize)>,
}

/// What has passed, and what has not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) cut: u64,
    pub(crate) overflowed: u64,
}

struct State {
    weather: Weather,
    traffic: Traffic,
    /// When it is due, its number, to whom, the packet.
    queue: BinaryHeap<Reverse<(Instant, u64, usize, Vec<u8>)>>,
    dice: u64,
}

pub(crate) struct Wire {
    state: Mutex<State>,
    more: Condvar,
}

impl Wire {
    /// Begins to carry packets. The threads end with the process.
    pub(crate) fn start(interfaces: Vec<File>, weather: Weather, seed: u64) -> Arc<Self> {
        let state = State { weather, traffic: Traffic::default(), queue: BinaryHeap::new(), dice: seed };
        let wire = Arc::new(Self { state: Mutex::new(state), more: Condvar::new() });
        let ends: Arc<Vec<File>> = Arc::new(interfaces);
        for from in 0..ends.len() {
            let (wire, ends) = (Arc::clone(&wire), Arc::clone(&ends));
            std::thread::spawn(move || {
                let mut packet = vec![0; 1 << 16];
                // An interface that is gone ends its thread.
                while let Ok(length) = (&ends[from]).read(&mut packet) {
                    wire.take(from, ends.len(), &packet[..length]);
                }
            });
        }
        let carrying = Arc::clone(&wire);
        std::thread::spawn(move || carrying.carry(&ends));
        wire
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.state().weather);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    fn take(&self, from: usize, ends: usize, packet: &[u8]) {
        // Node n has the address 10.77.0.(n + 1); of IPv6 there is none.
        let (Some(4), Some(last)) = (packet.first().map(|byte| byte >> 4), packet.get(19)) else { return };
        let to = usize::from(*last).wrapping_sub(1);
        if to >= ends || packet[16..19] != [10, 77, 0] {
            return;
        }
        let mut state = self.state();
        if state.weather.cut.contains(&(from, to)) {
            state.traffic.cut += 1;
            return;
        }
        if state.roll(1_000) < state.weather.loss {
            state.traffic.lost += 1;
            return;
        }
        if state.queue.len() >= ROOM {
            state.traffic.overflowed += 1;
            return;
        }
        let jitter = state.weather.jitter.as_micros() as u64;
        let delay = state.weather.delay + Duration::from_micros(state.roll(jitter.max(1)));
        state.traffic.passed += 1;
        let number = state.traffic.passed;
        state.queue.push(Reverse((Instant::now() + delay, number, to, packet.to_vec())));
        self.more.notify_one();
    }

    fn carry(&self, ends: &[File]) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let due = state.queue.peek().map(|Reverse((due, ..))| *due);
            match due {
                Some(due) if due <= now => {
                    if let Some(Reverse((_, _, to, packet))) = state.queue.pop() {
                        drop(state);
                        // An interface that is down takes nothing: the packet is lost.
                        let _ = (&ends[to]).write(&packet);
                        state = self.state();
                    }
                }
                Some(due) => {
                    let waited = self.more.wait_timeout(state, due - now);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl State {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }
}
