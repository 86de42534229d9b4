//! Compiles `weft/v1/*.proto` with protox, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files =
        ["resources", "discovery", "identity", "inspect", "hop"].map(|name| format!("weft/v1/{name}.proto"));
    let descriptors = protox::compile(&files, ["."])?;
    tonic_prost_build::configure()
        // Bodies are shared between streams and cut out of larger frames: reference-counted, never copied.
        .bytes(".weft.v1.Resource.body")
        .compile_fds(descriptors)?;
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
