//! Compiles `weft/v1/*.proto` with protox, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files =
        ["resources", "discovery", "identity", "inspect", "hop"].map(|name| format!("weft/v1/{name}.proto"));
    let descriptors = protox::compile(&files, ["."])?;
    tonic_prost_build::configure()
        // Bodies are shared between streams and cut out of larger frames: reference-counted, never copied.
        .bytes(".weft.v1.Resource.body")
        .compile_fds(descriptors)?;
    tonic_build::manual::Builder::new().build_client(false).compile(&[discovery()]);
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}

/// `weft.v1.Discovery` once more, for the control plane: it answers with frames that are encoded already. The same
/// path and bytes as the generated service, which the clients use.
fn discovery() -> tonic_build::manual::Service {
    let attach = tonic_build::manual::Method::builder()
        .name("attach")
        .route_name("Attach")
        .input_type("crate::v1::ClientFrame")
        .output_type("crate::shared::Frame")
        .codec_path("crate::codec::FrameCodec")
        .client_streaming()
        .server_streaming()
        .build();
    tonic_build::manual::Service::builder().name("Discovery").package("weft.v1").method(attach).build()
}
