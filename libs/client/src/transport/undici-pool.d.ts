/** Of undici's version in package.json; what is used of it is declared where it is used. */
declare module "undici/lib/dispatcher/pool.js";
