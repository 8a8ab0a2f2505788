// @ts-check
/**
 * The order of names as people expect it.
 */

/**
 * Return a key that puts texts in the order people expect when keys are compared with "<".
 *
 * Runs of digits compare as numbers, agent-2 before agent-10, and case does not count. Comparing
 * keys is some ten times as fast as Intl.Collator, which tells with thousands of agents.
 *
 * @param {string} text
 */
export function orderKey(text) {
  return text.toLowerCase().replace(/\d+/g, (digits) => {
    const number = digits.replace(/^0+(?=\d)/, "");
    // The count of digits goes first, as a sign that lies where digits lie: before all letters.
    return String.fromCharCode(48 + Math.min(number.length, 16)) + number;
  });
}
