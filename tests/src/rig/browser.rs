//! Chromium, driven by its own driver as the W3C's WebDriver has it (<https://www.w3.org/TR/webdriver2/>):
//! windows with cookies of their own, keys as a keyboard sends them, and what went over the wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::patience::{PATIENCE, eventually, require};
use super::process::Process;

/// How long one command may take: a page that loads while the machine is busy with other stories.
const COMMAND: Duration = Duration::from_secs(90);

/// The keys that have no letter, as the driver spells them.
pub mod key {
    /// To the next thing that can be used.
    pub const TAB: &str = "\u{e004}";
    /// Does what is chosen.
    pub const ENTER: &str = "\u{e007}";
    /// To the end.
    pub const END: &str = "\u{e010}";
    /// To the beginning.
    pub const HOME: &str = "\u{e011}";
    /// To the left.
    pub const LEFT: &str = "\u{e012}";
}

/// The driver's process. Its windows end before it.
#[derive(Debug)]
pub struct Driver {
    _process: Process,
    at: SocketAddr,
    folder: PathBuf,
    chromium: PathBuf,
    windows: AtomicU32,
}

impl Driver {
    /// Starts the driver, which keeps what browsers write in a folder.
    ///
    /// # Errors
    /// Which program is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(folder: &Path) -> Result<Self, &'static str> {
        let chromium = super::program("chromium").ok_or("chromium is not installed")?;
        let driver = super::program("chromedriver").ok_or("chromium-driver is not installed")?;
        let mut command = Command::new(driver);
        command.arg("--port=0");
        let process = Process::start("chromedriver", folder, &mut command);
        let port = eventually("the browser's driver", PATIENCE, || {
            let log = process.log();
            let said = log.split_once("started successfully on port ");
            let port: Option<u16> = said.and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
            port.ok_or(log)
        });
        Ok(Self {
            _process: process,
            at: SocketAddr::from(([127, 0, 0, 1], port)),
            folder: folder.to_owned(),
            chromium,
            windows: AtomicU32::new(0),
        })
    }

    /// Opens a browser with cookies of its own.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn open(&self) -> Window {
        let number = self.windows.fetch_add(1, Ordering::Relaxed);
        let profile = self.folder.join(format!("profile-{number}"));
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--no-first-run".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        // Its sandbox needs a user that is not root.
        arguments.extend(super::is_root().then(|| "--no-sandbox".to_owned()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"pageLoad": 80_000, "script": 80_000},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": self.chromium, "args": arguments},
        }}});
        let made = command(self.at, "POST", "/session", Some(&wanted));
        let made = made.unwrap_or_else(|problem| panic!("Chromium did not start: {problem}"));
        let session = made["sessionId"].as_str().expect("a session has an id");
        let window = Window {
            at: self.at,
            session: format!("/session/{session}"),
        };
        // Phones have none, and a picture of a page has no room for them.
        let _ = window.tool("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
        window
    }
}

/// A browser with one window. Dropping it closes the browser.
#[derive(Debug)]
pub struct Window {
    at: SocketAddr,
    session: String,
}

impl Window {
    /// Goes to an address and waits until the page is there.
    ///
    /// # Panics
    /// When it does not come.
    pub fn go(&self, address: &str) {
        let _ = self.must("/url", &json!({ "url": address }));
    }

    /// The path and the query of the page's address.
    #[must_use]
    pub fn path(&self) -> String {
        let path = self.run("return location.pathname + location.search");
        path.as_str().unwrap_or_default().to_owned()
    }

    /// What a script in the page returns.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        self.must("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn wait(&self, what: &str, expression: &str) {
        let script = json!({ "script": format!("return Boolean({expression})"), "args": [] });
        // A page that is just going has no script to run.
        eventually(what, PATIENCE, || {
            let answer = self.command("/execute/sync", &script)?;
            require(answer == true, || {
                let page = "return `${location.pathname}${location.search}: ${document.body?.innerText.slice(0, 1500)}`";
                let page = json!({ "script": page, "args": [] });
                format!("not so at {:?}", self.command("/execute/sync", &page))
            })
        });
    }

    /// Waits for an address, given as its path and query begin.
    ///
    /// # Panics
    /// When the window does not come there.
    pub fn wait_at(&self, begin: &str) {
        let begin = json!(begin);
        let here = "(location.pathname + location.search)";
        self.wait(
            &format!("the page {begin}"),
            &format!("{here}.startsWith({begin}) && document.readyState === 'complete'"),
        );
    }

    /// Waits for an element that shows a text.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let shows = "each.checkVisibility() && each.textContent.includes";
        self.wait(
            &format!("{text} in {selector}"),
            &format!("[...document.querySelectorAll({selector})].some((each) => {shows}({text}))"),
        );
    }

    /// The text of the first element that a selector finds.
    #[must_use]
    pub fn text(&self, selector: &str) -> Option<String> {
        let selector = json!(selector);
        let text = self.run(&format!(
            "return document.querySelector({selector})?.textContent"
        ));
        text.as_str().map(|text| text.trim().to_owned())
    }

    /// How many elements a selector finds.
    #[must_use]
    pub fn count(&self, selector: &str) -> u64 {
        let selector = json!(selector);
        let count = self.run(&format!(
            "return document.querySelectorAll({selector}).length"
        ));
        count.as_u64().unwrap_or_default()
    }

    /// Presses the first element that a selector finds, as a pointer does.
    ///
    /// # Panics
    /// When there is none, or something covers it.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        let _ = self.must(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into the first element that a selector finds.
    ///
    /// # Panics
    /// When there is none, or it takes no text.
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let _ = self.must(&format!("/element/{element}/clear"), &json!({}));
        let _ = self.must(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    fn element(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = eventually(selector, PATIENCE, || self.command("/element", &wanted));
        let ids = found.as_object().into_iter().flat_map(|ids| ids.values());
        let id = ids.filter_map(Value::as_str).next();
        id.expect("an element has an id").to_owned()
    }

    /// Presses and lets go one key after the other, whatever has the focus.
    ///
    /// # Panics
    /// When the browser refuses them.
    pub fn keys<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        let strokes = keys.into_iter().flat_map(|key| {
            [
                json!({ "type": "keyDown", "value": key }),
                json!({ "type": "keyUp", "value": key }),
            ]
        });
        let strokes: Vec<Value> = strokes.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        let _ = self.must("/actions", &json!({ "actions": [keyboard] }));
    }

    /// Moves the pointer over an element from one share of its width to another, half way down; with the button
    /// held where it drags.
    ///
    /// # Panics
    /// When there is no such element, or the browser refuses.
    pub fn point(&self, selector: &str, from: f64, to: f64, drags: bool) {
        let element = json!(selector);
        let _ = self.run(&format!(
            "document.querySelector({element}).scrollIntoView({{ block: 'center' }})"
        ));
        let place = self.run(&format!(
            "const box = document.querySelector({element}).getBoundingClientRect();
             return [box.left, box.width, box.top + box.height / 2]"
        ));
        let number = |at: usize| place[at].as_f64().expect("a box has numbers");
        let moved = |share: f64| {
            let (x, y) = (number(0) + share * number(1), number(2));
            json!({ "type": "pointerMove", "duration": 50, "x": x.round() as i64, "y": y.round() as i64 })
        };
        let button = |kind: &str| json!({ "type": kind, "button": 0 });
        let mut actions = vec![moved(from)];
        actions.extend(drags.then(|| button("pointerDown")));
        actions.extend([moved(f64::midpoint(from, to)), moved(to)]);
        actions.extend(drags.then(|| button("pointerUp")));
        let mouse = json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        let _ = self.must("/actions", &json!({ "actions": [mouse] }));
    }

    /// Types a text letter by letter, whatever has the focus.
    ///
    /// # Panics
    /// When the browser refuses it.
    pub fn write(&self, text: &str) {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        self.keys(letters.iter().map(String::as_str));
    }

    /// A command of Chromium's own protocol of developer tools.
    ///
    /// # Panics
    /// When it fails.
    pub fn tool(&self, name: &str, parameters: &Value) -> Value {
        self.must(
            "/goog/cdp/execute",
            &json!({ "cmd": name, "params": parameters }),
        )
    }

    /// Makes the window as wide and high as a screen.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn resize(&self, width: u32, height: u32) {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let _ = self.tool("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Sets what the reader prefers, such as `("prefers-color-scheme", "dark")`.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn prefer(&self, preferences: &[(&str, &str)]) {
        let features = preferences
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }));
        let features: Vec<Value> = features.collect();
        let _ = self.tool(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    /// A picture of the whole page, as PNG.
    ///
    /// # Panics
    /// When none can be taken.
    #[must_use]
    pub fn picture(&self) -> Vec<u8> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.tool("Page.captureScreenshot", &whole);
        let text = taken["data"].as_str().expect("a picture has data");
        STANDARD.decode(text).expect("a picture is base64")
    }

    /// What the console said since this was asked last, from warnings on: errors of scripts, refusals of the
    /// content-security policy, what did not load.
    ///
    /// # Panics
    /// When the driver does not tell.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let said = self.told("browser");
        let grave = said
            .iter()
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        grave
            .filter_map(|entry| entry["message"].as_str().map(ToOwned::to_owned))
            .collect()
    }

    /// What went over the wire since this was asked last.
    ///
    /// # Panics
    /// When the driver does not tell.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        for entry in self.told("performance") {
            let message = entry["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(message).unwrap_or_default();
            let parameters = &event["message"]["params"];
            match event["message"]["method"].as_str() {
                Some("Network.requestWillBeSent") => {
                    let address = parameters["request"]["url"].as_str().unwrap_or_default();
                    traffic.addresses.push(address.to_owned());
                }
                Some("Network.loadingFinished") => {
                    traffic.bytes += parameters["encodedDataLength"].as_f64().unwrap_or_default();
                }
                _ => {}
            }
        }
        traffic
    }

    fn told(&self, kind: &str) -> Vec<Value> {
        let entries = self.must("/se/log", &json!({ "type": kind }));
        entries.as_array().cloned().unwrap_or_default()
    }

    fn must(&self, path: &str, body: &Value) -> Value {
        let answer = self.command(path, body);
        answer.unwrap_or_else(|problem| panic!("the browser, {path} {body:.300}: {problem}"))
    }

    fn command(&self, path: &str, body: &Value) -> Result<Value, String> {
        command(
            self.at,
            "POST",
            &format!("{}{path}", self.session),
            Some(body),
        )
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = command(self.at, "DELETE", &self.session, None);
    }
}

/// What went over the wire.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// The addresses that were asked for.
    pub addresses: Vec<String>,
    /// The bytes of what came, as they were sent.
    pub bytes: f64,
}

impl Traffic {
    /// The addresses that do not begin so.
    #[must_use]
    pub fn beyond(&self, own: &str) -> Vec<&str> {
        // Chromium's own pages, such as that of a new tab, ask nobody.
        let is_foreign = |address: &&str| {
            let is_inner = ["data:", "blob:", "chrome:", "chrome-untrusted:"];
            !address.starts_with(own) && !is_inner.iter().any(|inner| address.starts_with(inner))
        };
        let addresses = self.addresses.iter().map(String::as_str);
        addresses.filter(is_foreign).collect()
    }
}

/// Asks the driver, which speaks HTTP/1.1 alone.
fn command(
    at: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, String> {
    let body = body.map_or_else(String::new, ToString::to_string);
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(at, request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!("{error}: {:.600}", value["message"])),
        None => Ok(value),
    }
}

fn exchange(at: SocketAddr, request: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, COMMAND)?;
    stream.set_read_timeout(Some(COMMAND))?;
    stream.write_all(request)?;
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line)? <= 2 {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(text) = lower.strip_prefix("content-length:") {
            length = text.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    String::from_utf8(body).map_err(std::io::Error::other)
}
