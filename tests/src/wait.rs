//! Waiting for what is to come: as short as it can be, and never for ever.

use std::time::{Duration, Instant};

/// Asks again and again until the answer is there.
///
/// # Panics
/// When it is not there after `most`: the message says what was waited for.
pub async fn until<T>(what: &str, most: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < most, "waited {most:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets time pass, where time itself is what a test is about: a fault that lasts, or a load that is spread.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
