// Shows what a text holds and a screen would not show, as blender/core/visible.py does: \x1b or \u202e.

const HIDDEN =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\u{e0000}-\u{e00ff}]/gu;

function visible(text) {
  return text.replace(HIDDEN, (found) => {
    const code = found.codePointAt(0);
    const digits = code.toString(16);
    if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
  });
}
