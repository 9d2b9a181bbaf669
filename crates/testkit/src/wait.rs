//! Waiting for a condition that nothing announces, by asking again until a deadline.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Asks every few milliseconds until the answer is `Some`, and returns it.
///
/// For conditions that cannot be awaited, such as another process's state. What can be awaited should be.
///
/// # Panics
///
/// When the deadline passes first, naming what was waited for.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let answer = async {
        let mut tick = interval(Duration::from_millis(20));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    let Ok(answer) = timeout(deadline, answer).await else {
        panic!("waited {deadline:?} for {what}");
    };
    answer
}
