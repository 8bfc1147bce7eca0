//! What pages load besides themselves: the style sheet, the icon, our script, and the charting library
//! that `build.rs` fetched by its lock file. All of it is in the binary.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use rollcall_shared::token::sha256;

/// A file that pages load.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 7] = [
    Asset {
        name: "rollcall.css",
        kind: CSS,
        content: include_str!("rollcall.css"),
    },
    Asset {
        name: "rollcall.svg",
        kind: "image/svg+xml",
        content: include_str!("rollcall.svg"),
    },
    Asset {
        name: "live.js",
        kind: SCRIPT,
        content: include_str!("live.js"),
    },
    Asset {
        name: "keys.js",
        kind: SCRIPT,
        content: include_str!("keys.js"),
    },
    Asset {
        name: "charts.js",
        kind: SCRIPT,
        content: include_str!("charts.js"),
    },
    Asset {
        name: "uplot.js",
        kind: SCRIPT,
        content: include_str!(concat!(env!("OUT_DIR"), "/uplot.js")),
    },
    Asset {
        name: "uplot.css",
        kind: CSS,
        content: include_str!(concat!(env!("OUT_DIR"), "/uplot.css")),
    },
];

/// Changes with any of the files, so that browsers may keep them.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = ASSETS.iter().map(|asset| asset.content).collect();
    let hash = sha256(all.as_bytes());
    hash[..6].iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
});

/// Whether the charting library was there when this program was built.
pub(super) fn has_charts() -> bool {
    ASSETS
        .iter()
        .any(|asset| asset.name == "uplot.js" && !asset.content.is_empty())
}

/// Answers with one of the files. They are the same for everybody and tell nothing.
pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let Some(asset) = found else {
        return (StatusCode::NOT_FOUND, "no such file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, asset.content).into_response()
}
