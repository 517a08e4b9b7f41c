import { fchownSync } from "node:fs";
import type { Fd } from "../sys/fd.ts";
import { openPipe } from "../sys/pipe.ts";

export { closeAllOnExec, memoryFile } from "../sys/pipe.ts";

/** Pipes for a child's input, output and errors: `theirs` for the child, closed when it has them, `ours` for us. */
export type StdioPipes = {
  theirs: Disposable & { stdin: Fd; stdout: Fd; stderr: Fd };
  ours: Disposable & { stdin: Fd; stdout: Fd; stderr: Fd };
};

/**
 * Real pipes, owned by who will use them: unlike the sockets Node makes, or pipes of another user, they can be opened again as
 * /dev/stdout. @throws KernelError
 */
export function openStdio(owner: { uid: number; gid: number }): StdioPipes {
  using stack = new DisposableStack();
  const [input, output, errors] = [0, 1, 2].map(() => stack.use(openPipe())) as [Pipe, Pipe, Pipe];
  for (const pipe of [input, output, errors]) fchownSync(pipe.read.number, owner.uid, owner.gid);
  stack.move();
  return {
    theirs: together({ stdin: input.read, stdout: output.write, stderr: errors.write }),
    ours: together({ stdin: input.write, stdout: output.read, stderr: errors.read }),
  };
}

type Pipe = ReturnType<typeof openPipe>;

function together<T extends Record<string, Fd>>(fds: T): T & Disposable {
  return Object.assign(fds, {
    [Symbol.dispose]() {
      for (const fd of Object.values(fds)) fd[Symbol.dispose]();
    },
  });
}
