import type { Writable } from "node:stream";

/** Shows how a long job goes: one line that changes on a terminal, plain lines elsewhere, nothing with --json. */
export type Progress = Disposable & { show(line: string): void };

const frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const everyMs = 80;

export function makeProgress(stream: Writable & { isTTY?: boolean; columns?: number }, json: boolean): Progress {
  if (json) return { show() {}, [Symbol.dispose]() {} };
  if (stream.isTTY !== true) return { show: (line) => void stream.write(`${line}\n`), [Symbol.dispose]() {} };
  let current = "";
  let tick = 0;
  let timer: NodeJS.Timeout | undefined;
  const draw = () => {
    const room = Math.max(0, (stream.columns || 80) - 3);
    const barred = `${barOf(current)}${current}`;
    const text = barred.length <= room ? barred : current.slice(0, room);
    stream.write(`\r\u001b[K${frames[tick++ % frames.length]} ${text}`);
  };
  return {
    show(line) {
      current = line;
      timer ??= setInterval(draw, everyMs);
      draw();
    },
    [Symbol.dispose]() {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      stream.write("\r\u001b[K");
    },
  };
}

/** A bar for a line that names a share, as those of a fetch do. */
function barOf(line: string): string {
  const share = /\((\d{1,3})%\)/.exec(line)?.[1];
  if (share === undefined) return "";
  const full = Math.min(barWidth, Math.floor((Number(share) * barWidth) / 100));
  return `${"━".repeat(full)}${"─".repeat(barWidth - full)} `;
}

const barWidth = 20;
