// Numbers as people read them. Times are in milliseconds of virtual time throughout the script.

const threeDigits = (value) => value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
const duration = (ms) =>
  ms === 0 ? "0 ms"
  : ms < 0.9995 ? `${threeDigits(ms * 1000)} µs`
  : ms < 999.5 ? `${threeDigits(ms)} ms`
  : `${threeDigits(ms / 1000)} s`;
const instant = (ms) => `${(ms / 1000).toFixed(3)} s`;
const count = (n) => Math.round(n).toLocaleString("en");
const some = (n, thing) => n === 1 ? `1 ${thing}` : `${count(n)} ${thing}s`;

/** A tick of the time axis, with as many decimals as its step needs. */
const tickLabel = (ms, step) => {
  const decimals = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : step >= 1 ? 3 : 4;
  return `${(ms / 1000).toFixed(decimals)} s`;
};

/** The smallest of 1, 2, 5 × 10ⁿ that is not below `least`. */
const roundStep = (least) => {
  const power = 10 ** Math.floor(Math.log10(least));
  for (const factor of [1, 2, 5]) if (power * factor >= least * 0.999999) return power * factor;
  return power * 10;
};

/** An element with attributes, and children that are elements or plain text: nothing is ever parsed as markup. */
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
