// The web pages in a real browser, against a real collector. Run by hand (`npm ci`, `node --test`), not yet
// part of tests/run: two of its tests fail. Start a collector with a simulated fleet, and run this with ROLLCALL_URL, ROLLCALL_TOKEN_FILE and ROLLCALL_CHROMIUM;
// ROLLCALL_SHOTS is a folder for pictures of every page.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const url = process.env.ROLLCALL_URL;
const token = fs.readFileSync(process.env.ROLLCALL_TOKEN_FILE, "utf8").trim();
const shots = process.env.ROLLCALL_SHOTS;
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// What the first page may weigh on the wire, and how long it may take until it can be used.
const FIRST_PAGE_BYTES = 150_000;
const FIRST_PAGE_MS = 1000;
const PATIENCE_MS = 30_000;

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.ROLLCALL_CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => { await browser?.close(); });

// A browser of its own, that notes everything that goes wrong and every foreign address.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("console", (said) => { if (said.type() === "error") wrong.push(`console: ${said.text()}`); });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) wrong.push(`asks ${request.url()}`);
  });
  return { context, page, wrong };
}

async function signIn(page, secret = token) {
  await page.goto(`${url}/sign-in`);
  await page.keyboard.type(secret);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/`);
}

async function firstDevice(page) {
  await page.goto(`${url}/devices`);
  return page.locator("tbody th a").first().getAttribute("href");
}

async function addresses(page) {
  const device = await firstDevice(page);
  return {
    attention: "/",
    fleet: "/devices",
    "fleet-none": "/devices?search=nothing-is-called-this",
    device: `${device}?part=battery&range=week`,
    network: `${device}?part=network&range=day`,
    collected: `${device}/collected`,
    reachability: "/reachability",
    reports: "/reports",
    administration: "/administration",
    missing: "/nowhere",
  };
}

test("a stranger is sent to sign in, and a wrong token is told so", async () => {
  const { context, page } = await open();
  await page.goto(`${url}/devices`);
  assert.equal(new URL(page.url()).pathname, "/sign-in");
  await page.keyboard.type("rca_wrong");
  await page.keyboard.press("Enter");
  await page.locator("#problem").waitFor();
  assert.match(await page.locator("#problem").textContent(), /unknown or revoked/);
  await context.close();
});

test("a device is found and its chart read by keyboard alone", async () => {
  const { context, page, wrong } = await open();
  await signIn(page);
  await page.keyboard.press("g");
  await page.keyboard.press("f");
  await page.waitForURL(`${url}/devices`);
  const id = await page.locator("tbody .id").first().textContent();
  await page.keyboard.press("/");
  await page.keyboard.type(id);
  await page.keyboard.press("Enter");
  await page.waitForURL(/search=/);
  assert.equal(await page.locator("tbody tr").count(), 1, "by its id there is one");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/devices\/[0-9a-f-]+/);
  await page.goto(`${page.url().split("#")[0]}?part=battery&range=week`);
  await page.locator("[data-history][data-ready]").waitFor({ timeout: PATIENCE_MS });
  // From chart to chart by Tab, until one has the focus.
  let told = null;
  for (let presses = 0; presses < 60 && told === null; presses += 1) {
    await page.keyboard.press("Tab");
    const isChart = await page.evaluate(() => document.activeElement.matches("figure[role=application]"));
    if (isChart) told = page.locator("figure:focus .told");
  }
  assert.ok(told, "a chart can be reached by Tab");
  await page.keyboard.press("Home");
  const first = await told.textContent();
  await page.keyboard.press("End");
  const last = await told.textContent();
  assert.match(first, /\d\d.*: /);
  assert.notEqual(first, last, "the ends of a week have their own times");
  await page.keyboard.press("+");
  await page.waitForFunction(() => / to /.test(document.querySelector("figure:focus .told").textContent));
  await page.keyboard.press("0");
  assert.equal(await told.textContent(), "All of it");
  assert.deepEqual(wrong, []);
  await context.close();
});

test("pages are whole without a script", async () => {
  const { context, page } = await open({ javaScriptEnabled: false });
  await page.goto(`${url}/sign-in`);
  await page.fill("#token", token);
  await page.click("button[type=submit]");
  const device = await firstDevice(page);
  await page.goto(`${url}${device}?part=battery&range=week`);
  assert.ok(await page.locator("figure svg .line").count() > 0, "charts are drawn by the server");
  await page.goto(`${url}/devices`);
  const all = await page.locator("caption").textContent();
  const site = await page.locator("#site option").nth(1).getAttribute("value");
  await page.selectOption("#site", site);
  await page.click("form.filter button");
  assert.notEqual(await page.locator("caption").textContent(), all);
  assert.ok((await page.locator("tbody td[data-name=Site]").allTextContents()).every((text) => text === site));
  await context.close();
});

test("a revoked token ends its holder's session", async () => {
  const admin = await open();
  await signIn(admin.page);
  await admin.page.goto(`${url}/administration`);
  await admin.page.fill("#name", "student worker");
  await admin.page.selectOption("#role", "viewer");
  await admin.page.locator("form[action='/administration/api-tokens'] button").click();
  const secret = (await admin.page.locator("code.token").textContent()).trim();
  const worker = await open();
  await signIn(worker.page, secret);
  await admin.page.goto(`${url}/administration`);
  assert.equal(await admin.page.locator("code.token").count(), 0, "it is not shown again");
  await admin.page.locator("button[aria-label='Revoke student worker']").click();
  await admin.page.waitForURL(`${url}/administration`);
  await worker.page.goto(`${url}/devices`);
  assert.equal(new URL(worker.page.url()).pathname, "/sign-in");
  await admin.context.close();
  await worker.context.close();
});

test("what one acknowledges by two keys another sees without loading again", async () => {
  const [one, other] = [await open(), await open()];
  await signIn(one.page);
  await signIn(other.page);
  const said = other.page.getByText("admin deals with it").first();
  assert.equal(await said.count(), 0);
  // The stream of events says that it is there before anything changes.
  await other.page.waitForResponse((answer) => answer.url().endsWith("/events"), { timeout: 5000 }).catch(() => {});
  await one.page.keyboard.press("j");
  await one.page.keyboard.press("a");
  await one.page.getByText("admin deals with it").first().waitFor();
  await said.waitFor();
  assert.deepEqual([...one.wrong, ...other.wrong], []);
  await one.context.close();
  await other.context.close();
});

test("a mistake in a form is named by its field", async () => {
  const { context, page } = await open();
  await signIn(page);
  await page.goto(`${url}/administration`);
  await page.locator("form[action='/administration/tokens'] #site").fill("Lincoln");
  await page.locator("form[action='/administration/tokens'] #uses").fill("many");
  await page.locator("form[action='/administration/tokens'] button").click();
  assert.match(await page.locator("#problem").textContent(), /`uses` must be/);
  await context.close();
});

test("the first page is light, quick, and asks no other host", async () => {
  const { context, page, wrong } = await open();
  await signIn(page);
  const client = await context.newCDPSession(page);
  await client.send("Network.enable");
  await client.send("Network.setCacheDisabled", { cacheDisabled: true });
  let bytes = 0;
  client.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
  // The best of some: other work on a test machine is not the page's.
  let best = Infinity;
  for (let tries = 0; tries < 5; tries += 1) {
    bytes = 0;
    await page.goto(`${url}/`, { waitUntil: "load" });
    const usable = await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd);
    best = Math.min(best, usable);
  }
  console.log(`first page: ${bytes} bytes on the wire, usable after ${Math.round(best)} ms`);
  assert.ok(bytes > 1000 && bytes < FIRST_PAGE_BYTES, `${bytes} bytes`);
  assert.ok(best < FIRST_PAGE_MS, `${best} ms`);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("what it cannot reach is said, and what was known stays", async () => {
  const { context, page } = await open();
  await signIn(page);
  const before = await page.locator("main h1").textContent();
  await page.locator("main[data-at]").waitFor();
  await context.setOffline(true);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.locator("#state:not([hidden])").waitFor();
  assert.match(await page.locator("#state").textContent(), /Offline|reach|touch/);
  assert.equal(await page.locator("main h1").textContent(), before);
  await context.close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`every page is accessible and fits, ${colorScheme}`, async () => {
    const { context, page } = await open({ colorScheme, reducedMotion: "reduce", bypassCSP: true });
    await signIn(page);
    const pages = { ...(await addresses(page)), "sign-in": "/sign-in" };
    for (const [name, address] of Object.entries(pages)) {
      if (name === "sign-in") await context.clearCookies();
      await page.goto(`${url}${address}`);
      await page.addScriptTag({ content: axe });
      const found = await page.evaluate(() => window.axe.run(document, {
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      }));
      const grave = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      const told = grave.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" | ")}`);
      assert.deepEqual(told, [], `${name}, ${colorScheme}`);
      for (const width of [1440, 768, 390]) {
        await page.setViewportSize({ width, height: 1000 });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(wide <= 0, `${name} is ${wide} pixels too wide at ${width}`);
        if (shots) {
          fs.mkdirSync(shots, { recursive: true });
          await page.screenshot({ path: path.join(shots, `${name}-${width}-${colorScheme}.png`) });
        }
      }
    }
    await context.close();
  });
}
