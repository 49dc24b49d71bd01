//! Single flight: whoever asks for what is being made already waits for that, instead of making it again.
//!
//! It knows no runtime. The one who came first is handed a [`Pilot`] and decides where the work runs; everyone gets a
//! [`Waiter`]. However the pilot ends, with a result, by a panic or by being dropped, nobody is left waiting. And whoever
//! works for them learns from [`Askers`] when nobody waits any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sync::{Arc, Mutex, lock};

/// What is being made, by key; `L` is a label to find flights by, `T` what waiters get.
pub(super) struct Flights<K, L, T> {
    map: Mutex<HashMap<K, Arc<Flight<L, T>>>>,
}

struct Flight<L, T> {
    label: L,
    state: Mutex<State<T>>,
    askers: Arc<Mutex<Count>>,
}

/// How many wait, and who wants to know when nobody does.
struct Count {
    waiting: usize,
    waker: Option<Waker>,
}

struct State<T> {
    /// `None` while it is under way; `Some(None)` where it ended without a result.
    landed: Option<Option<T>>,
    /// Whether what it makes may be kept.
    keeps: bool,
    next: u64,
    wakers: HashMap<u64, Waker>,
}

impl<K: Copy + Eq + Hash, L, T: Clone> Flights<K, L, T> {
    pub(super) fn new() -> Flights<K, L, T> {
        Flights { map: Mutex::new(HashMap::new()) }
    }

    /// Joins the flight of that key, or begins it: then there is a pilot, who has to land it.
    pub(super) fn join(self: &Arc<Self>, key: K, label: L) -> (Waiter<L, T>, Option<Pilot<K, L, T>>) {
        let mut map = lock(&self.map);
        if let Some(flight) = map.get(&key) {
            return (Waiter::new(flight), None);
        }
        let state = State { landed: None, keeps: true, next: 0, wakers: HashMap::new() };
        let askers = Arc::new(Mutex::new(Count { waiting: 0, waker: None }));
        let flight = Arc::new(Flight { label, state: Mutex::new(state), askers });
        map.insert(key, Arc::clone(&flight));
        let pilot = Pilot { flights: Arc::clone(self), flight: Arc::clone(&flight), key };
        (Waiter::new(&flight), Some(pilot))
    }

    /// Whether there is a flight of that key.
    #[cfg(test)]
    pub(super) fn is_under_way(&self, key: &K) -> bool {
        lock(&self.map).contains_key(key)
    }

    /// Lets the flights whose label `matches` end as ever, but nothing that they make be kept.
    pub(super) fn disown(&self, matches: impl Fn(&L) -> bool) {
        for flight in lock(&self.map).values().filter(|flight| matches(&flight.label)) {
            lock(&flight.state).keeps = false;
        }
    }
}

/// The right and the duty to land a flight.
pub(super) struct Pilot<K: Copy + Eq + Hash, L, T: Clone> {
    flights: Arc<Flights<K, L, T>>,
    flight: Arc<Flight<L, T>>,
    key: K,
}

impl<K: Copy + Eq + Hash, L, T: Clone> Pilot<K, L, T> {
    /// Whether what is made may be kept.
    pub(super) fn keeps(&self) -> bool {
        lock(&self.flight.state).keeps
    }

    /// Those who wait for it, as they come and go.
    pub(super) fn askers(&self) -> Askers {
        Askers(Arc::clone(&self.flight.askers))
    }

    /// Hands the result to everyone who waits.
    pub(super) fn land(self, result: T) {
        self.end(Some(result));
    }

    fn end(&self, result: Option<T>) {
        // first out of the map, then told: whoever asks after the answer begins anew, and finds what was kept
        lock(&self.flights.map).remove(&self.key);
        let mut state = lock(&self.flight.state);
        state.landed = Some(result);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }
}

impl<K: Copy + Eq + Hash, L, T: Clone> Drop for Pilot<K, L, T> {
    fn drop(&mut self) {
        let landed = lock(&self.flight.state).landed.is_some();
        if !landed {
            self.end(None);
        }
    }
}

/// Waits for a flight's result; `None` where it ended without one.
pub(super) struct Waiter<L, T> {
    flight: Arc<Flight<L, T>>,
    number: Option<u64>,
}

impl<L, T> Waiter<L, T> {
    fn new(flight: &Arc<Flight<L, T>>) -> Waiter<L, T> {
        lock(&flight.askers).waiting += 1;
        Waiter { flight: Arc::clone(flight), number: None }
    }
}

impl<L, T: Clone> Future for Waiter<L, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let flight = Arc::clone(&self.flight);
        let mut state = lock(&flight.state);
        if let Some(landed) = &state.landed {
            return Poll::Ready(landed.clone());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state.wakers.insert(number, context.waker().clone());
        Poll::Pending
    }
}

impl<L, T> Drop for Waiter<L, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            lock(&self.flight.state).wakers.remove(&number);
        }
        let mut askers = lock(&self.flight.askers);
        askers.waiting -= 1;
        let waker = if askers.waiting == 0 { askers.waker.take() } else { None };
        drop(askers);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Those who wait for one result. Others may still come where nobody waits at present.
#[derive(Clone)]
pub struct Askers(Arc<Mutex<Count>>);

impl Askers {
    /// Whether nobody waits at present.
    pub fn are_gone(&self) -> bool {
        lock(&self.0).waiting == 0
    }

    /// Waits until nobody waits. One at a time may do so.
    pub async fn leave(&self) {
        std::future::poll_fn(|context| {
            let mut count = lock(&self.0);
            if count.waiting == 0 {
                return Poll::Ready(());
            }
            count.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
