//! The servers every contender has: nginx for requests, iperf3 for bulk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ambit_tests::{Netns, Pod, Process, until};
use anyhow::{Context as _, Result};

use super::stage::{BULK, HTTP};

/// The body of every answer, 30 bytes.
pub(super) const BODY: &str = "thirty bytes of plain answer.\n";

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts both in a pod, their files in `directory`.
pub(super) fn start(directory: &Path, pod: &Pod) -> Result<[Process; 2]> {
    let own = directory.join(pod.name());
    fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
    let config = own.join("nginx.conf");
    fs::write(&config, nginx_config(&own)).with_context(|| format!("write {}", config.display()))?;

    let mut nginx = pod.netns().command("nginx");
    nginx.arg("-p").arg(&own).arg("-c").arg(&config).arg("-e").arg(own.join("error.log"));
    let nginx = Process::start(nginx, &own, "nginx")?;

    let mut iperf3 = pod.netns().command("iperf3");
    iperf3.args(["--server", "--port", &BULK.to_string()]);
    let iperf3 = Process::start(iperf3, &own, "iperf3")?;

    for (process, port) in [(&nginx, HTTP), (&iperf3, BULK)] {
        wait_listening(&pod.netns(), port).with_context(|| process.errors())?;
    }
    Ok([nginx, iperf3])
}

/// Waits until somebody listens on a port, without a connection the server would have to bear.
pub(super) fn wait_listening(netns: &Netns, port: u16) -> Result<()> {
    until(&format!("a listener on port {port}"), PATIENCE, || {
        let sockets = netns.proc_file("net/tcp").ok()? + &netns.proc_file("net/tcp6").ok()?;
        is_listening(&sockets, port).then_some(())
    })
}

/// One process, no log, connections that live as long as the client wants.
fn nginx_config(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "user root;\n\
         daemon off;\n\
         master_process off;\n\
         pid {directory}/nginx.pid;\n\
         error_log {directory}/error.log;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n\
           access_log off;\n\
           keepalive_requests 100000000;\n\
           keepalive_timeout 600s;\n\
           client_body_temp_path {directory}/body;\n\
           proxy_temp_path {directory}/proxy;\n\
           fastcgi_temp_path {directory}/fastcgi;\n\
           uwsgi_temp_path {directory}/uwsgi;\n\
           scgi_temp_path {directory}/scgi;\n\
           server {{ listen {HTTP} backlog=4096; location / {{ return 200 \"{BODY}\"; }} }}\n\
         }}\n"
    )
}

/// Whether /proc/net/tcp or tcp6 has a socket of that local port in state LISTEN (0A).
fn is_listening(sockets: &str, port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    sockets.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&suffix)) && fields.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listeners_by_port() {
        let sockets = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                       \x20  0: 00000000:1F90 00000000:0000 0A 00000000:00000000\n\
                       \x20  1: 0100007F:1451 0100007F:9C40 01 00000000:00000000\n";
        for (port, expected) in [(8080, true), (5201, false), (0x1F9, false)] {
            assert_eq!(is_listening(sockets, port), expected, "{port}");
        }
    }
}
