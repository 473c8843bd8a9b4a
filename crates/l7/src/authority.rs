//! The two parts of an authority.

/// An authority's host and port. Of `[::1]:80` the host keeps its brackets.
pub(crate) fn split(authority: &str) -> (&str, Option<&str>) {
    let Some((host, port)) = authority.rsplit_once(':') else { return (authority, None) };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*');
    let is_host = !host.starts_with('[') || host.ends_with(']');
    if is_port && is_host { (host, Some(port)) } else { (authority, None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_the_hosts() {
        for (authority, expected) in [
            ("a.example", ("a.example", None)),
            ("a.example:80", ("a.example", Some("80"))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some("80"))),
            ("a.example:", ("a.example:", None)),
            ("a.example:http", ("a.example:http", None)),
            ("*.example:*", ("*.example", Some("*"))),
            ("", ("", None)),
        ] {
            assert_eq!(split(authority), expected, "{authority}");
        }
    }
}
