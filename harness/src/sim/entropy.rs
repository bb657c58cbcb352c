//! Chance and time on a simulation's thread: what the C library would ask the kernel for, we answer from the seed.
//!
//! Models: `getrandom`, `clock_gettime` and `gettimeofday`, on threads that have entered a simulation. That covers
//! `RandomState`, `SystemTime`, `Instant` and the random crates that go through the C library, in our code and in
//! dependencies. All other threads get the real calls.
//!
//! Does not model: raw system calls (`rand` 0.8 makes one), reads of `/dev/urandom`, the processor's own counters and
//! random instructions, and sleeping. A simulation thread must never sleep.
//!
//! It works because the executable's own definition of a symbol wins over the C library's, at link time. Linux with a
//! dynamically linked C library only. [`enter`] checks that it does work and refuses to go on otherwise.
#![expect(unsafe_code, reason = "taking the place of C library functions cannot be said in safe Rust")]

use std::{
    cell::Cell,
    ffi::{CStr, c_int, c_uint, c_void},
    mem, ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::SimError;

/// The wall clock at the start of every simulation: 2026-01-01 00:00:00 UTC, since the Unix epoch.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// The monotonic clock at the start: far enough from zero that nobody computes an instant before the first.
const MONOTONIC_BASE: Duration = Duration::from_secs(1_000_000);

/// The virtual clock and the source of chance that the threads of one simulation share. They run in turns, so that
/// relaxed atomics suffice.
#[derive(Debug)]
struct Source {
    /// Virtual nanoseconds since the start of the simulation.
    nanos: AtomicU64,
    /// State of a splitmix64 generator.
    state: AtomicU64,
}

thread_local! {
    /// Null outside a simulation. A plain pointer, because a thread-local with a destructor may not be used from
    /// functions that the C library can call at any moment of a thread's life; [`Entered`] keeps its target alive.
    static CURRENT: Cell<*const Source> = const { Cell::new(ptr::null()) };
}

/// This thread lives in virtual time until the value is dropped.
#[derive(Debug)]
pub struct Entered {
    source: Arc<Source>,
    previous: *const Source,
}

impl Entered {
    /// A ticket with which another thread of the same simulation may enter. Only one of the threads may run at a time,
    /// or chance is drawn in an order that differs between runs.
    pub fn ticket(&self) -> Ticket {
        Ticket(Arc::clone(&self.source))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.previous);
    }
}

/// See [`Entered::ticket`].
#[derive(Clone, Debug)]
pub struct Ticket(Arc<Source>);

impl Ticket {
    /// Puts the calling thread into the simulation that the ticket is from.
    pub fn enter(self) -> Entered {
        let previous = CURRENT.replace(Arc::as_ptr(&self.0));
        Entered { source: self.0, previous }
    }
}

/// The ticket of the simulation that the calling thread is in, if it is in one.
pub fn ticket() -> Option<Ticket> {
    let current = CURRENT.get();
    if current.is_null() {
        return None;
    }
    // SAFETY: the pointer came from `Arc::as_ptr`, and the `Entered` that set it holds a strong count.
    unsafe {
        Arc::increment_strong_count(current);
        Some(Ticket(Arc::from_raw(current)))
    }
}

/// Puts the calling thread into a new simulation: from now on its clocks stand still at the start, and what it draws
/// from the kernel comes from `seed`.
///
/// # Errors
/// [`SimError::EntropyNotLinked`] when this executable asks the real clock all the same.
pub fn enter(seed: u64) -> Result<Entered, SimError> {
    let source = Arc::new(Source { nanos: AtomicU64::new(0), state: AtomicU64::new(seed) });
    let entered = Ticket(source).enter();
    #[expect(clippy::disallowed_methods, reason = "this is the check that the clock is virtual")]
    let wall = std::time::SystemTime::now();
    if wall == std::time::UNIX_EPOCH + EPOCH { Ok(entered) } else { Err(SimError::EntropyNotLinked) }
}

/// Sets the virtual time of the calling thread's simulation, nanoseconds since its start. Nothing happens outside one.
pub(super) fn set_time(nanos: u64) {
    if let Some(source) = current() {
        source.nanos.store(nanos, Relaxed);
    }
}

fn current<'a>() -> Option<&'a Source> {
    // SAFETY: null, or kept alive by the `Entered` that set it, which is neither `Send` nor dropped while a function of
    // this module runs on its thread.
    unsafe { CURRENT.get().as_ref() }
}

fn splitmix64(state: &AtomicU64) -> u64 {
    let next = state.load(Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.store(next, Relaxed);
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What `clock` shows, or `None` if it is not a clock that we take the place of (processor time stays real).
fn read_clock(source: &Source, clock: libc::clockid_t) -> Option<Duration> {
    let base = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => EPOCH,
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME => {
            MONOTONIC_BASE
        }
        _ => return None,
    };
    Some(base + Duration::from_nanos(source.nanos.load(Relaxed)))
}

/// The C library's own function of that name: the next definition after ours.
fn next_definition(cache: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let cached = cache.load(Relaxed);
    if !cached.is_null() {
        return cached;
    }
    // SAFETY: `name` is a C string, and `RTLD_NEXT` a valid handle.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    cache.store(found, Relaxed);
    found
}

/// # Safety
/// As `clock_gettime(2)`: `out` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, out: *mut libc::timespec) -> c_int {
    type Real = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    if let Some(time) = current().and_then(|source| read_clock(source, clock)) {
        let spec = libc::timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() };
        // SAFETY: the caller vouches for `out`.
        unsafe { out.write(spec) };
        return 0;
    }
    let real = next_definition(&REAL, c"clock_gettime");
    if real.is_null() {
        // SAFETY: the same contract as the function that it stands in for.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, out) } as c_int;
    }
    // SAFETY: the symbol is the C library's `clock_gettime`, of this type.
    unsafe { mem::transmute::<*mut c_void, Real>(real)(clock, out) }
}

/// # Safety
/// As `gettimeofday(2)`: `out` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(out: *mut libc::timeval, zone: *mut c_void) -> c_int {
    if let Some(time) = current().and_then(|source| read_clock(source, libc::CLOCK_REALTIME)) {
        let value = libc::timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros().into() };
        if !out.is_null() {
            // SAFETY: the caller vouches for `out`.
            unsafe { out.write(value) };
        }
        return 0;
    }
    // SAFETY: the same contract as the function that it stands in for.
    unsafe { libc::syscall(libc::SYS_gettimeofday, out, zone) as c_int }
}

/// # Safety
/// As `getrandom(2)`: `buffer` is valid for writing `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, flags: c_uint) -> isize {
    let Some(source) = current() else {
        // SAFETY: the same contract as the function that it stands in for.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) } as isize;
    };
    // SAFETY: the caller vouches for `buffer` and `len`; bytes need no alignment.
    let mut rest = buffer.cast::<u8>();
    let mut left = len;
    while left > 0 {
        let word = splitmix64(&source.state).to_le_bytes();
        let count = left.min(word.len());
        // SAFETY: `rest` has `left >= count` writable bytes; `word` is our own.
        unsafe {
            ptr::copy_nonoverlapping(word.as_ptr(), rest, count);
            rest = rest.add(count);
        }
        left -= count;
    }
    len as isize
}
