import { notifySupervisor } from "../sys/notify.ts";

export { warmThreadpool } from "../sys/threadpool.ts";

/** Tells the service manager how it stands, when there is one (sd_notify(3)). */
export function notify(state: Readonly<Record<string, string>>): void {
  notifySupervisor(process.env["NOTIFY_SOCKET"], state);
}
