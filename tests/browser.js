// What tests/browser.py asks of a page. Contrast: WCAG 2.2, relative luminance and contrast ratio.

// [r, g, b, a], each 0 to 1, of any CSS colour
function rgba(colour) {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
}

const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);

function luminance([r, g, b]) {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

function opacity(element) {
  let product = 1;
  for (; element; element = element.parentElement) product *= getComputedStyle(element).opacity;
  return product;
}

// The colour an element paints over what lies behind it: an SVG shape its fill, anything else its background.
function painted(element) {
  const style = getComputedStyle(element);
  const shape = element instanceof SVGGeometryElement;
  if (shape && (style.fill === "none" || style.fill.startsWith("url"))) return [0, 0, 0, 0];
  const colour = rgba(shape ? style.fill : style.backgroundColor);
  colour[3] *= (shape ? style.fillOpacity : 1) * opacity(element);
  return colour;
}

const canvas = () => rgba(matchMedia("(prefers-color-scheme: dark)").matches &&
  getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "#121212" : "#ffffff");

// What is painted behind the middle of a box, seen from the front; `own` and what is inside it does not count.
function behind(box, own) {
  const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const layers = stack.filter((element) => element === own || !own.contains(element));
  // What lies in front of the text's own element (a drawn glyph, a line of a plot) is not behind it.
  const from = layers.indexOf(own);
  return layers.slice(Math.max(from, 0)).reverse().reduce((back, element) => over(painted(element), back), canvas());
}

// Every visible piece of text, and the texts of figures that are drawn as paths (matplotlib's groups text_1, text_2, ...).
function* pieces() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || element.closest("script, style, title, desc, noscript, option")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = () => range.getBoundingClientRect();
    if (box().width <= 1 || box().height <= 1 || getComputedStyle(element).visibility !== "visible") continue;
    yield [node.data.trim().slice(0, 40), element, box, element instanceof SVGElement ? "fill" : "color"];
  }
  for (const group of document.querySelectorAll('svg g[id*="text_"]')) {
    const glyph = group.querySelector("use, path");
    const box = () => group.getBoundingClientRect();
    if (glyph && box().width > 1) yield [group.id, glyph, box, "fill"];
  }
}

function contrasts() {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const still = new CSSStyleSheet(); // a style element would be an offence to a page's Content-Security-Policy
  still.replaceSync("* { pointer-events: auto !important; transition: none !important; scroll-behavior: auto !important }");
  document.adoptedStyleSheets.push(still);
  const found = [];
  for (const [words, element, box, property] of pieces()) {
    element.scrollIntoView({ block: "center", inline: "center" });
    const own = property === "fill" && element.tagName !== "text" ? element.closest("g") : element;
    const back = behind(box(), own);
    const front = rgba(getComputedStyle(element)[property]);
    front[3] *= opacity(element);
    found.push([words, contrast(over(front, back), back)]);
  }
  document.adoptedStyleSheets.pop();
  return found;
}

// [words, CSS pixels] of each text as it is drawn: a drawing may be scaled.
function heights() {
  return [...pieces()].map(([words, element]) => {
    const drawn = element instanceof SVGGraphicsElement ? element.getScreenCTM() : { a: 1, b: 0 };
    return [words, parseFloat(getComputedStyle(element).fontSize) * Math.hypot(drawn.a, drawn.b)];
  });
}

// Short words that go on in the next line, for want of room; what is clipped away is there for screen readers only.
function broken() {
  const clipped = (element) => element &&
    ((getComputedStyle(element).overflow === "hidden" && element.offsetWidth <= 1) || clipped(element.parentElement));
  const found = [], range = document.createRange();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("script, style") || clipped(node.parentElement)) continue;
    for (const word of node.data.matchAll(/(?<!\S)[^\s\-/]{2,14}(?!\S)/g)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const tops = [...range.getClientRects()].map((box) => box.top);
      if (Math.max(...tops) - Math.min(...tops) > 4) found.push(word[0]);
    }
  }
  return found;
}

function overflow() {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .map((element) => [element, element.getBoundingClientRect().right])
    .filter(([, right]) => right > width + 1)
    .map(([element, right]) => `${element.tagName.toLowerCase()}.${element.getAttribute("class")}: ${Math.round(right)}`)
    .concat(`page: ${document.documentElement.scrollWidth}`);
}

// Drawings that are no picture with a name to a screen reader (axe looks only at those with role="img").
function nameless() {
  const named = (element) => element.getAttribute("role") === "img" &&
    (element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.querySelector(":scope > title"));
  return [...document.querySelectorAll("svg")]
    .filter((svg) => !svg.parentElement.closest('svg, [role="img"], [aria-hidden="true"]') && !svg.matches('[aria-hidden="true"]'))
    .filter((svg) => !named(svg))
    .map((svg) => svg.outerHTML.slice(0, 120));
}
