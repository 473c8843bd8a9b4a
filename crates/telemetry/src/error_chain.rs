//! Errors, for the log.

use std::error::Error;

/// An error with its causes, on one line.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot enrol")]
    struct Outer(#[source] io::Error);

    #[test]
    fn all_causes_are_on_one_line() {
        let cause = || io::Error::other("no such namespace");
        assert_eq!(error_chain(&cause()), "no such namespace");
        assert_eq!(error_chain(&Outer(cause())), "cannot enrol: no such namespace");
    }
}
