//! One look-up.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_sys::{ResolveError, resolve};
use tokio::sync::oneshot;

/// The system's answer: what /etc/resolv.conf says, nobody else. On a thread of its own, which nobody waits for at the
/// end of the process: the system takes its time.
pub async fn system(name: Arc<str>) -> Result<Vec<IpAddr>, ResolveError> {
    let unavailable = |reason: String| ResolveError::Unavailable { reason };
    let (sender, answer) = oneshot::channel();
    let work = move || drop(sender.send(resolve(&complete(&name))));
    std::thread::Builder::new()
        .name("look-up".to_owned())
        .spawn(work)
        .map_err(|error| unavailable(error.to_string()))?;
    answer.await.map_err(|_gone| unavailable("the look-up ended without an answer".to_owned()))?
}

/// Names are complete: with a search domain of this machine's behind it, one could be a service's of that name.
fn complete(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_complete() {
        for (name, expected) in [("x.org", "x.org."), ("x.org.", "x.org."), ("db", "db.")] {
            assert_eq!(complete(name), expected);
        }
    }
}
