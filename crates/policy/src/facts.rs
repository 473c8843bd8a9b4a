//! What a connection is judged by.

use std::net::IpAddr;

use ambit_model::Identity;

/// What is known of a connection. Addresses are canonical ([`ambit_model::canonical_ip`]): a v4-mapped
/// address would slip past every IPv4 block.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who connects, as proved by a certificate or by the kernel; `None` for a plaintext connection.
    /// Then nothing that names a source identity matches, and everything that excludes one does.
    pub source: Option<&'a Identity>,
    /// Who is at the other end of the tunnel: the source, or a waypoint that vouches for it. Judged by the
    /// policies that keep everybody else from going round a waypoint, and by no others.
    pub peer: Option<&'a Identity>,
    /// Address of who connects.
    pub source_ip: IpAddr,
    /// Address of the destination workload.
    pub destination_ip: IpAddr,
    /// Port of the destination workload (not of a service in front of it).
    pub destination_port: u16,
}
