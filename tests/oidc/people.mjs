// Whom the provider knows: everybody. A name that nobody has used yet is a new person.
import { createHash } from 'node:crypto';

// The name space of RFC 4122 for DNS names, so that Python's uuid.uuid5() gives the same.
const NAMESPACE = Buffer.from('6ba7b8109dad11d180b400c04fd430c8', 'hex');

// A subject is not the user's name, so that a test notices when one is taken for the other.
function subjectOf(name) {
  const bytes = createHash('sha1').update(NAMESPACE).update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export class People {
  #bySubject = new Map();

  named(name) {
    const sub = subjectOf(name);
    let person = this.#bySubject.get(sub);
    if (!person) {
      person = {
        sub,
        username: name,
        name: name.split('@')[0],
        email: name.includes('@') ? name : `${name}@example.org`,
        email_verified: true,
        groups: [],
        identities: [], // subjects of the same human at other institutions
      };
      this.#bySubject.set(sub, person);
    }
    return person;
  }

  of(sub) {
    return this.#bySubject.get(sub);
  }
}

// What ID tokens say besides `sub`, if the scopes ask for it.
export function claimsOf(person) {
  const { sub, name, username, email, email_verified, groups } = person;
  return { sub, name, preferred_username: username, email, email_verified, groups };
}

// What access tokens and answers to introspection say besides what every token has.
export function claimsInTokens(person) {
  const { username, email, email_verified, groups } = person;
  return { username, preferred_username: username, email, email_verified, groups };
}
