import { redirect } from "next/navigation";

async function save() {
  "use server";
  redirect("/saved");
}

export default function Page() {
  return (
    <form action={save}>
      <button>Save</button>
    </form>
  );
}
