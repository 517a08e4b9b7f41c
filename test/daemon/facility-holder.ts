import { facilitiesOn, facility, facilityName } from "./facility-bed.ts";
import { openState } from "../state/sample.ts";

/** A child for the tests of crashes: a daemon with a run that has a facility, until it is killed. */
const [directory = ""] = process.argv.slice(2);
using state = openState(directory);
const { facilities } = facilitiesOn(state, directory);
await facility(facilities, "work");
await facilities.withFacility(facilityName("work"), "run-1", async () => {
  process.stdout.write("held\n");
  await new Promise((resolve) => setTimeout(resolve, 600_000));
});
