declare const brand: unique symbol;

/** A value whose text or number was checked once, at the door. Only base/ may cast to a brand. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
