//! Kinds of the Gateway API, every field of theirs. Their definitions are not ours: the API server has them
//! from the Gateway API's own release.

mod backend_tls_policy;
mod filter;
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_route;
mod references;
mod route_options;
mod stream_route;

pub use backend_tls_policy::{
    BackendTlsPolicy, BackendTlsPolicySpec, BackendTlsTarget, BackendTlsValidation, SubjectAltName, SubjectAltNameType,
};
pub use filter::{
    BodyForwarding, Cors, ExternalAuth, ExternalAuthProtocol, FilterType, Fraction, GrpcAuth, HeaderModifier, HttpAuth,
    HttpHeader, PathModifier, PathModifierType, RequestMirror, RequestRedirect, RouteFilter, UrlRewrite,
};
pub use gateway::{
    AllowedListeners, AllowedRoutes, BackendClientCertificate, FromNamespaces, FrontendTls, FrontendValidation,
    FrontendValidationMode, Gateway, GatewayAddress, GatewaySpec, GatewayTls, Infrastructure, LabelOperator,
    LabelRequirement, LabelSelector, Listener, ListenerTls, ListenerTlsMode, NamespacePolicy, PortFrontendTls, PortTls,
    RouteGroupKind,
};
pub use gateway_class::{GatewayClass, GatewayClassSpec, ParametersReference};
pub use grpc_route::{GrpcMethodMatch, GrpcRoute, GrpcRouteMatch, GrpcRouteRule, GrpcRouteSpec};
pub use http_route::{
    HttpRoute, HttpRouteMatch, HttpRouteRule, HttpRouteSpec, MatchType, NameMatch, PathMatch, PathMatchType,
};
pub use references::{
    BackendRef, LocalReference, ObjectRef, ParentRef, ReferenceGrant, ReferenceGrantFrom, ReferenceGrantSpec,
    ReferenceGrantTo,
};
pub use route_options::{
    CookieLifetime, RouteRetry, RouteTimeouts, SessionCookie, SessionPersistence, SessionPersistenceType,
};
pub use stream_route::{StreamRouteRule, TcpRoute, TcpRouteSpec, TlsRoute, TlsRouteSpec};

/// The API group.
pub const GROUP: &str = "gateway.networking.k8s.io";
