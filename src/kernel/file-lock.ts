export { tryLockFile } from "../sys/lock.ts";
