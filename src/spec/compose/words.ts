/** A command line split as a shell does it: at blanks, with 'single' and "double" quotes and backslashes; nothing is expanded. */
export function splitWords(text: string): string[] | { fault: string } {
  const words: string[] = [];
  let word: string | undefined;
  let quote: "'" | '"' | undefined;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? "";
    if (quote === "'") {
      if (char === "'") quote = undefined;
      else word += char;
    } else if (char === "\\" && (quote === undefined || /["\\$`\n]/.test(text[i + 1] ?? ""))) {
      word = (word ?? "") + (text[++i] ?? "");
    } else if (quote === '"') {
      if (char === '"') quote = undefined;
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + char;
  }
  if (quote !== undefined) return { fault: `a ${quote} is not closed` };
  return word === undefined ? words : [...words, word];
}
