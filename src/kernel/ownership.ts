/** Our mark on routes and addresses: rtm_protocol and IFA_PROTO, "N" as a number. Other programs leave foreign protocols alone. */
export const nexusProtocol = 0x4e;
