/** Bytes in the unit a person would choose: 1536 is 1.5 KiB. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A count as it is, or as a power of two when it is past what numbers hold exactly: an IPv6 subnet has 2^64 addresses. */
export function countText(count: number): string {
  return Number.isSafeInteger(count) ? String(count) : `2^${Math.round(Math.log2(count))}`;
}

/** How long ago an ISO time was: 5s, 3m, 2h, 4d. */
export function since(iso: string, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(iso)) / 1000));
  if (Number.isNaN(seconds)) return iso;
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}
