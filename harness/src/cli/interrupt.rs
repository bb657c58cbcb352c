//! Ctrl-C, and what a CI system or a closed terminal sends in its place: the first asks every run to stop and to tell
//! what it knows, the second ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use super::exit;

/// Whether the user wants to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for SIGINT (Ctrl-C), SIGTERM and SIGHUP from now on, on a thread of its own.
    ///
    /// # Errors
    /// When the operating system refuses the thread or the signal handler.
    pub fn listen() -> io::Result<Self> {
        let interrupt = Self::default();
        let asked = interrupt.asked.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _runtime = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let (interrupt, terminate, hangup) = (&mut signals.0, &mut signals.1, &mut signals.2);
                while tokio::select! {
                    heard = interrupt.recv() => heard,
                    heard = terminate.recv() => heard,
                    heard = hangup.recv() => heard,
                }
                .is_some()
                {
                    if asked.swap(true, Ordering::SeqCst) {
                        std::process::exit(i32::from(exit::INCOMPLETE));
                    }
                }
            });
        })?;
        Ok(interrupt)
    }

    /// Stops as Ctrl-C does.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The flag that running simulations watch.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }
}
