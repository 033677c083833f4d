-- Made by drizzle-orm 0.45.4: drizzle-kit 0.31.11 generate --dialect postgresql. In the program, $defaultFn makes id and $onUpdate makes updatedAt.
CREATE TABLE "users" (
	"id" text PRIMARY KEY NOT NULL,
	"email" text NOT NULL,
	"ory_identity_id" uuid,
	"active" boolean NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp NOT NULL,
	CONSTRAINT "users_email_unique" UNIQUE("email"),
	CONSTRAINT "users_ory_identity_id_unique" UNIQUE("ory_identity_id")
);
