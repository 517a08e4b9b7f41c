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
    const room = (stream.columns || 80) - 3;
    stream.write(`\r\u001b[K${frames[tick++ % frames.length]} ${current.slice(0, Math.max(0, room))}`);
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
