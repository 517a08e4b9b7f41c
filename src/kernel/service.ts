import { libc } from "../sys/libc.ts";
import { notifySupervisor } from "../sys/notify.ts";

export { warmThreadpool } from "../sys/threadpool.ts";

/** Tells the service manager how it stands, when there is one (sd_notify(3)). */
export function notify(state: Readonly<Record<string, string>>): void {
  notifySupervisor(process.env["NOTIFY_SOCKET"], state);
}

/** Gives memory that was freed back to the kernel (malloc_trim(3)); the C library keeps what lies between blocks in use. Takes 0.3 ms. */
export function giveBackMemory(): void {
  libc().malloc_trim(0);
}
