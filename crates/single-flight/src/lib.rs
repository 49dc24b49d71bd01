//! Single flight: concurrent requests for one key wait for one execution instead of repeating it.
//!
//! [`SingleFlight::join`] gives every caller a [`Waiter`], a future of the result. The first caller also gets the
//! [`Leader`], which has to [`complete`](Leader::complete) the flight; where and how the work runs is up to it, so the
//! crate needs no runtime. However the leader ends (a result, a panic, a drop) no waiter is left pending. [`Waiters`]
//! tells the work when its last waiter has left.

#![forbid(unsafe_code)]

mod sync;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sync::{Mutex, lock};

/// The flights under way, by key. `L` is a label by which flights are found for [`SingleFlight::invalidate`], `T` is the
/// result that each waiter gets a clone of.
pub struct SingleFlight<K, L, T> {
    flights: Mutex<HashMap<K, Arc<Flight<L, T>>>>,
}

struct Flight<L, T> {
    label: L,
    state: Mutex<State<T>>,
    count: Arc<Mutex<Count>>,
}

/// The number of waiters, and the task to wake when it reaches zero.
struct Count {
    waiting: usize,
    waker: Option<Waker>,
}

struct State<T> {
    /// `None` until the flight ends; `Some(None)` where it ended without a result.
    result: Option<Option<T>>,
    is_valid: bool,
    next_waiter: u64,
    wakers: HashMap<u64, Waker>,
}

impl<K: Copy + Eq + Hash, L, T: Clone> SingleFlight<K, L, T> {
    /// No flights.
    pub fn new() -> SingleFlight<K, L, T> {
        SingleFlight { flights: Mutex::new(HashMap::new()) }
    }

    /// Joins the flight of that key, or starts one. The caller that starts it gets the leader.
    pub fn join(self: &Arc<Self>, key: K, label: L) -> (Waiter<L, T>, Option<Leader<K, L, T>>) {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&key) {
            return (Waiter::new(flight), None);
        }
        let state = State { result: None, is_valid: true, next_waiter: 0, wakers: HashMap::new() };
        let count = Arc::new(Mutex::new(Count { waiting: 0, waker: None }));
        let flight = Arc::new(Flight { label, state: Mutex::new(state), count });
        flights.insert(key, Arc::clone(&flight));
        let leader = Leader { single_flight: Arc::clone(self), flight: Arc::clone(&flight), key };
        (Waiter::new(&flight), Some(leader))
    }

    /// Whether a flight of that key is under way.
    pub fn contains(&self, key: &K) -> bool {
        lock(&self.flights).contains_key(key)
    }

    /// Ends the joining of flights whose label `matches`: they end as usual for those who wait, but [`Leader::is_valid`]
    /// tells that their results must not be stored, and later callers start a new flight.
    pub fn invalidate(&self, matches: impl Fn(&L) -> bool) {
        lock(&self.flights).retain(|_, flight| {
            let is_valid = !matches(&flight.label);
            lock(&flight.state).is_valid &= is_valid;
            is_valid
        });
    }
}

impl<K: Copy + Eq + Hash, L, T: Clone> Default for SingleFlight<K, L, T> {
    fn default() -> Self {
        SingleFlight::new()
    }
}

/// The caller that does the work of a flight. Dropped without [`Leader::complete`], it ends the flight without a result.
pub struct Leader<K: Copy + Eq + Hash, L, T: Clone> {
    single_flight: Arc<SingleFlight<K, L, T>>,
    flight: Arc<Flight<L, T>>,
    key: K,
}

impl<K: Copy + Eq + Hash, L, T: Clone> Leader<K, L, T> {
    /// Whether the result may be stored: the flight was not invalidated.
    pub fn is_valid(&self) -> bool {
        lock(&self.flight.state).is_valid
    }

    /// The waiters of this flight.
    pub fn waiters(&self) -> Waiters {
        Waiters(Arc::clone(&self.flight.count))
    }

    /// Ends the flight with this result.
    pub fn complete(self, result: T) {
        self.end(Some(result));
    }

    /// Removes the flight, unless it was invalidated and another has its place.
    fn remove(&self) {
        let mut flights = lock(&self.single_flight.flights);
        if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&self.key);
        }
    }

    fn end(&self, result: Option<T>) {
        // removed before waiters are woken: a caller that asks after their answer starts a new flight and finds what
        // was stored
        self.remove();
        let mut state = lock(&self.flight.state);
        state.result = Some(result);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }
}

impl<K: Copy + Eq + Hash, L, T: Clone> Drop for Leader<K, L, T> {
    fn drop(&mut self) {
        let has_ended = lock(&self.flight.state).result.is_some();
        if !has_ended {
            self.end(None);
        }
    }
}

/// A future of a flight's result; `None` where the flight ended without one.
pub struct Waiter<L, T> {
    flight: Arc<Flight<L, T>>,
    /// Its place among the wakers, once it has been polled.
    number: Option<u64>,
}

impl<L, T> Waiter<L, T> {
    fn new(flight: &Arc<Flight<L, T>>) -> Waiter<L, T> {
        lock(&flight.count).waiting += 1;
        Waiter { flight: Arc::clone(flight), number: None }
    }
}

impl<L, T: Clone> Future for Waiter<L, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let flight = Arc::clone(&self.flight);
        let mut state = lock(&flight.state);
        if let Some(result) = &state.result {
            return Poll::Ready(result.clone());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.next_waiter += 1;
            state.next_waiter
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
        let mut count = lock(&self.flight.count);
        count.waiting -= 1;
        let waker = if count.waiting == 0 { count.waker.take() } else { None };
        drop(count);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The waiters of one flight. Their number may rise again after it was zero, for as long as the flight is under way.
#[derive(Clone)]
pub struct Waiters(Arc<Mutex<Count>>);

impl Waiters {
    /// Whether there is no waiter at present.
    pub fn is_empty(&self) -> bool {
        lock(&self.0).waiting == 0
    }

    /// Waits until the last waiter has left. Only one task at a time may call this.
    pub async fn abandoned(&self) {
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
