//! The way from a program of the mesh to its control plane: [`ControlPlaneArgs`] says where it is and how it is
//! believed, [`channel`] makes the one connection that discovery, certificates and reports share, and
//! [`RemoteAuthority`] has certificates from there.

mod authority;
mod channel;
mod settings;

pub use authority::RemoteAuthority;
pub use channel::{ControlPlane, ControlPlaneError, Credentials, channel};
pub use settings::{ControlPlaneArgs, ControlPlaneSettings, NotHostPort, OwnPod};
