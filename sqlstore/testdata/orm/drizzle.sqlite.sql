-- Made by drizzle-orm 0.45.4: drizzle-kit 0.31.11 generate --dialect sqlite. In the program, $defaultFn makes id.
CREATE TABLE `users` (
	`id` text PRIMARY KEY NOT NULL,
	`email` text NOT NULL,
	`ory_identity_id` text,
	`active` integer NOT NULL
);
CREATE UNIQUE INDEX `users_email_unique` ON `users` (`email`);
CREATE UNIQUE INDEX `users_ory_identity_id_unique` ON `users` (`ory_identity_id`);
