/** The known word somebody most likely meant, or undefined when none is near: a third of its letters may differ. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const plain = fold(word);
  let best: { word: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(plain, fold(candidate));
    if (distance > Math.max(1, Math.floor(candidate.length / 3)) || distance >= candidate.length) continue;
    if (best === undefined || distance < best.distance) best = { word: candidate, distance };
  }
  return best?.word;
}

/** `dnsServers`, `dns-servers` and `DNS_SERVERS` are one word to whoever types them. */
function fold(word: string): string {
  return word
    .slice(0, 64)
    .replace(/[-_\s]/g, "")
    .toLowerCase();
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      next.push(cost);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
