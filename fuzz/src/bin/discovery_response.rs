//! An answer of a control plane, as far as the model: whatever is accepted is the same again when it is
//! encoded and read once more, so that nothing in it was passed over that the model has a place for.

#![no_main]

use ambit_xds::proto::discovery::{DeltaDiscoveryResponse, Resource};
use ambit_xds::{Address, AddressName, Decoder, TypeUrl, encode, policy_key};
use prost::Message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(response) = DeltaDiscoveryResponse::decode(bytes) else { return };
    for name in &response.removed_resources {
        let _ = (AddressName::parse(name), policy_key(name));
    }
    for encoded in response.resources {
        let Ok(Resource { name, resource: Some(body), .. }) = Resource::decode(encoded) else { continue };
        if let Some(type_url) = TypeUrl::parse(&body.type_url) {
            read(type_url, &name, &body.value);
        }
    }
});

fn read(type_url: TypeUrl, name: &str, body: &[u8]) {
    let decoder = &mut Decoder::default();
    match type_url {
        TypeUrl::Address => {
            let Ok(read) = decoder.address(name, body) else { return };
            assert!(AddressName::parse(name).is_ok() || matches!(read, Address::Workload(_)));
            let again = match &read {
                Address::Workload(it) => encode::address_of_workload(it),
                Address::Service(it) => encode::address_of_service(it),
            };
            assert_eq!(decoder.address(name, &*again.encode_to_vec()), Ok(read));
        }
        TypeUrl::Authorization => {
            let Ok(read) = decoder.authorization(name, body) else { return };
            assert_eq!(decoder.authorization(name, &*encode::authorization(&read).encode_to_vec()), Ok(read));
        }
        TypeUrl::Pod => {
            let Ok(read) = decoder.pod(name, body) else { return };
            assert_eq!(decoder.pod(name, &*encode::pod(&read).encode_to_vec()), Ok(read));
        }
        TypeUrl::TrustBundle => drop(decoder.trust_bundle(name, body)),
        TypeUrl::MeshedNamespace => drop(decoder.meshed_namespace(name, body)),
        TypeUrl::Object => drop(decoder.object(name, body)),
        TypeUrl::Labels => drop(decoder.labels(name, body)),
    }
}
