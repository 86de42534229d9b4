//! Whose an instruction is: by the source of the innermost function inlined there that is not the standard library's.
//!
//! What the compiler inlined of `core` or `alloc` belongs to whoever asked for it. What stands alone is told by its
//! symbol.

/// A function at an address, with the file it was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Demangled.
    pub function: String,
    /// As the debug information has it; empty: unknown.
    pub file: String,
}

/// Who is told of in the table, in its order.
pub const OWNERS: &[&str] = &[
    "weft gate::h1",
    "weft gate::h2",
    "weft gate",
    "weft policy",
    "weft proxy",
    "hyper",
    "h2",
    "http",
    "bytes",
    "tokio",
    "rustls",
    "aws-lc",
    "std",
    "malloc",
    "memcpy",
    "libc",
    "other",
];

/// The file's place in our workspace: `proxy/src/gate.rs`.
pub fn ours(file: &str) -> Option<&str> {
    if file.contains("/registry/") || file.contains("/rustc/") {
        return None;
    }
    OUR_CRATES.iter().find_map(|krate| {
        let at = file.find(krate)?;
        let before = at.checked_sub(1).and_then(|at| file.as_bytes().get(at));
        (before.is_none() || before == Some(&b'/')).then(|| file.get(at..)).flatten()
    })
}

const OUR_CRATES: &[&str] = &["proxy/src/", "policy/src/", "proto/src/", "certs/src/"];

/// Name of a crate from a registry: of `…/h2-0.4.20/src/frame.rs` it is `h2`.
fn outside(file: &str) -> Option<&str> {
    let (_, after) = file.split_once("/registry/src/")?;
    let folder = after.split('/').nth(1)?;
    let version = folder.match_indices('-').find(|(at, _)| {
        folder.get(at + 1..).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })?;
    folder.get(..version.0)
}

/// Whether it is of the standard library, or of a crate that extends it: such code belongs to whoever uses it.
fn is_std(file: &str) -> bool {
    ["/rustc/", "/library/core/", "/library/alloc/", "/library/std/"].iter().any(|part| file.contains(part))
        || matches!(
            outside(file),
            Some("smallvec" | "memchr" | "hashbrown" | "arc-swap" | "foldhash" | "mimalloc")
        )
}

/// Whether a function that stands alone works for whoever calls it, and for nobody else: it allocates, copies, searches
/// or hashes, and calls nothing back.
pub fn works_for_its_caller(owner: &str, name: &str) -> bool {
    match owner {
        "malloc" | "memcpy" => true,
        "std" => TOOLS.iter().any(|tool| name.contains(tool)),
        _ => false,
    }
}

const TOOLS: &[&str] = &[
    "core::fmt::",
    "core::hash::",
    "core::num::",
    "core::slice::",
    "core::str::",
    "alloc::collections::",
    "alloc::raw_vec",
    "alloc::string::",
    "smallvec::",
    "memchr::",
];

/// The frame that an instruction is charged to: the innermost that is not the standard library's.
pub fn charged(frames: &[Frame]) -> Option<&Frame> {
    // What `#[global_allocator]` puts before the allocator stands where that was written.
    let is_shim = |frame: &Frame| frame.function.starts_with("__rust_");
    frames.iter().find(|frame| !frame.file.is_empty() && !is_std(&frame.file) && !is_shim(frame))
}

/// Who wants to know, where a clock is read: the innermost frame that does more than read it.
pub fn asker(frames: &[Frame]) -> Option<&Frame> {
    frames.iter().find(|frame| !frame.file.is_empty() && !is_std(&frame.file) && !reads_clock(frame))
}

fn reads_clock(frame: &Frame) -> bool {
    let known = ["src/time/instant.rs", "src/time/clock.rs", "src/time/source.rs"];
    known.iter().any(|file| frame.file.ends_with(file)) || plain(&frame.function).ends_with("now")
}

/// Whether this is one of the ways to ask for the time: the system's, the standard library's, or a `now` of somebody
/// who wraps them.
pub fn is_clock(name: &str) -> bool {
    name.contains("clock_gettime")
        || name.contains("Timespec::now")
        || name.ends_with("::now")
        || name.ends_with(".rs now")
        || name.contains("tokio/time/instant.rs")
        || name.contains("tokio/time/clock.rs")
}

/// Who uses a header map, a URI or a buffer here: the innermost frame that is neither of those nor the standard
/// library's.
pub fn client(frames: &[Frame]) -> Option<&Frame> {
    let is_tool = |file: &str| is_std(file) || matches!(outside(file), Some("http" | "bytes"));
    frames.iter().find(|frame| !frame.file.is_empty() && !is_tool(&frame.file))
}

/// Whose code in our own program it is.
pub fn of_frames(frames: &[Frame], symbol: &str) -> &'static str {
    let Some(frame) = charged(frames) else { return of_symbol(symbol) };
    if let Some(file) = ours(&frame.file) {
        return if file.starts_with("proxy/src/gate/h1") {
            "weft gate::h1"
        } else if file.starts_with("proxy/src/gate/h2") {
            "weft gate::h2"
        } else if file.starts_with("proxy/src/gate") {
            "weft gate"
        } else if file.starts_with("policy/") {
            "weft policy"
        } else {
            "weft proxy"
        };
    }
    outside(&frame.file).map_or_else(|| of_symbol(symbol), of_crate)
}

fn of_crate(name: &str) -> &'static str {
    match name {
        "hyper" | "hyper-util" | "httparse" | "httpdate" | "want" | "atomic-waker" => "hyper",
        "h2" | "slab" | "fnv" | "indexmap" | "hashbrown" | "equivalent" => "h2",
        "http" | "http-body" | "http-body-util" => "http",
        "bytes" => "bytes",
        "tokio" | "mio" | "tokio-util" | "socket2" | "libc" => "tokio",
        "rustls" | "tokio-rustls" | "rustls-pki-types" | "rustls-webpki" => "rustls",
        name if name.starts_with("aws-lc") => "aws-lc",
        name if name.contains("mimalloc") || name.contains("jemalloc") => "malloc",
        "compiler_builtins" | "memchr" => "other",
        _ => "other",
    }
}

/// The file of ours, or the crate and its file, that a file is.
pub fn module(file: &str) -> Option<String> {
    if let Some(file) = ours(file) {
        return Some(file.to_owned());
    }
    let krate = outside(file)?;
    let (_, after) = file.split_once("/src/").and_then(|(_, after)| after.split_once("/src/"))?;
    Some(format!("{krate}/{after}"))
}

/// What a symbol alone says.
pub fn of_symbol(symbol: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| symbol.contains(word));
    if has(&[
        "aws_lc", "aesni", "gcm_", "sha256", "AES_", "EVP_", "OPENSSL_", "CRYPTO_", "ecp_", "mlkem", "x25519",
    ]) {
        "aws-lc"
    } else if has(&[
        "alloc::alloc::",
        "__rust_alloc",
        "__rust_dealloc",
        "__rust_realloc",
        "__rdl_",
        "__rustc",
    ]) || symbol.starts_with("mi_")
        || symbol.starts_with("_mi_")
    {
        "malloc"
    } else if has(&["weft_proxy::gate::h1"]) {
        "weft gate::h1"
    } else if has(&["weft_proxy::gate::h2"]) {
        "weft gate::h2"
    } else if has(&["weft_proxy::gate"]) {
        "weft gate"
    } else if has(&["weft_policy"]) {
        "weft policy"
    } else if has(&["weft_"]) {
        "weft proxy"
    } else if has(&["hyper::", "hyper_util::"]) {
        "hyper"
    } else if has(&["h2::"]) {
        "h2"
    } else if has(&["http::", "http_body"]) {
        "http"
    } else if has(&["bytes::"]) {
        "bytes"
    } else if has(&["rustls"]) {
        "rustls"
    } else if has(&["tokio::", "mio::"]) {
        "tokio"
    } else if has(&["core::", "alloc::", "std::", "smallvec::", "memchr::", "arc_swap::"]) {
        "std"
    } else {
        "other"
    }
}

/// Whose code in a library it is.
pub fn of_library(symbol: &str) -> &'static str {
    let name = symbol.trim_start_matches('_');
    let starts = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if starts(&["mem", "strlen", "bcmp"]) {
        "memcpy"
    } else if starts(&[
        "malloc",
        "free",
        "int_malloc",
        "int_free",
        "realloc",
        "calloc",
        "posix_memalign",
        "unlink_chunk",
        "aligned_alloc",
        "int_realloc",
        "int_memalign",
        "tcache",
    ]) {
        "malloc"
    } else {
        "libc"
    }
}

/// A function's name without what it is generic over, which is often longer than all the rest.
pub fn plain(name: &str) -> String {
    let (mut plain, mut depth, mut before) = (String::with_capacity(name.len()), 0_usize, None);
    for each in name.chars() {
        let opens = each == '<'
            && (depth > 0
                || before.is_some_and(|before: char| before.is_alphanumeric() || "_:}>".contains(before)));
        let arrow = each == '>' && before == Some('-');
        if opens {
            depth += 1;
        } else if depth > 0 && each == '>' && !arrow {
            depth -= 1;
        } else if depth == 0 {
            plain.push(each);
        }
        before = Some(each);
    }
    plain.replace("::::", "::").trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(files: &[&str]) -> Vec<Frame> {
        files.iter().map(|file| Frame { function: String::new(), file: (*file).to_owned() }).collect()
    }

    #[test]
    fn inlined_code_of_the_standard_library_is_whose_it_is_inlined_into() {
        const CORE: &str = "/rustc/abc/library/core/src/slice/iter.rs";
        let table: &[(&[&str], &str, &str)] = &[
            (&["/home/me/weft/proxy/src/gate/h1/head.rs"], "x", "weft gate::h1"),
            (
                &[CORE, "/home/me/weft/proxy/src/gate/h2.rs", "/r/registry/src/i/hyper-1.12.0/src/a.rs"],
                "x",
                "weft gate::h2",
            ),
            (&["proxy/src/gate.rs"], "x", "weft gate"),
            (&["policy/src/decide.rs"], "x", "weft policy"),
            (&["/home/me/.cargo/registry/src/index/h2-0.4.20/src/frame.rs"], "x", "h2"),
            (&["/home/me/.cargo/registry/src/index/aws-lc-sys-0.30.0/x.c"], "x", "aws-lc"),
            (&["/home/me/.cargo/registry/src/index/http-body-util-0.1.5/x.rs"], "x", "http"),
            (&[CORE], "core::ptr::drop_in_place<h2::frame::Frame>", "h2"),
            (&[], "aws_lc_0_30_0_EVP_AEAD_CTX_seal", "aws-lc"),
        ];
        for (files, symbol, owner) in table {
            assert_eq!(of_frames(&frames(files), symbol), *owner, "{files:?} {symbol}");
        }
    }

    #[test]
    fn a_name_is_read_without_what_it_is_generic_over() {
        for (name, read) in [
            ("find<http::header::value::HeaderValue>", "find"),
            (
                "<h2::codec::Codec<T,B> as core::Stream<U>>::poll_next",
                "<h2::codec::Codec as core::Stream>::poll_next",
            ),
            ("<weft::Gate>::serve::<A, fn(B) -> C>::{closure#0}", "<weft::Gate>::serve::{closure#0}"),
            ("{async_fn#0}<core::result::Result<A, B>>", "{async_fn#0}"),
            ("malloc", "malloc"),
        ] {
            assert_eq!(plain(name), read);
        }
    }

    #[test]
    fn a_library_is_told_by_its_symbols() {
        for (symbol, owner) in [
            ("__memcpy_avx_unaligned_erms", "memcpy"),
            ("_int_free", "malloc"),
            ("malloc", "malloc"),
            ("writev", "libc"),
        ] {
            assert_eq!(of_library(symbol), owner, "{symbol}");
        }
    }
}
