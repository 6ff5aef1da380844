// A mail's header (RFC 5322, 2.2), as text with a byte in each character.

/** Bytes of a header with the empty line behind it; all of them where there is none. */
export function headerLength(bytes) {
  if (bytes[0] === 13 && bytes[1] === 10) return 2;
  const end = bytes.indexOf('\r\n\r\n', 0, 'latin1');
  return end < 0 ? bytes.length : end + 4;
}

/** Fields as they stand there, with their lines' ends: name in lower case and the whole. */
function* fieldsOf(header) {
  for (const [text, name] of header.matchAll(
    /^([!-9;-~]+)[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*/gm,
  )) {
    yield { name: name.toLowerCase(), text };
  }
}

/** The fields of these names, or all others, and an empty line (RFC 9051, 6.4.5.1). */
export function chosenFields(header, names, isChosen) {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  let text = '';
  for (const field of fieldsOf(header)) {
    if (wanted.has(field.name) === isChosen) text += field.text;
  }
  return `${text}\r\n`;
}

/** What a field says, unfolded; all its values where it stands there several times. */
export function fieldValues(header, name) {
  const values = [];
  for (const field of fieldsOf(header)) {
    if (field.name !== name) continue;
    const value = field.text.slice(field.text.indexOf(':') + 1);
    values.push(value.replaceAll(/\r\n(?=[ \t])/g, '').trim());
  }
  return values;
}

/** The first of them; null: there is no such field. */
export const fieldValue = (header, name) => fieldValues(header, name)[0] ?? null;
