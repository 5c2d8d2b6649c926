// What ROOT finds in a file without knowing its classes, as texts and numbers to compare.
#include <TBufferJSON.h>
#include <TTreeFormula.h>

struct Digest {
   ULong64_t value = 14695981039346656037ULL;
   void add(const void *bytes, size_t size) {
      for (size_t j = 0; j < size; j++) value = (value ^ static_cast<const unsigned char *>(bytes)[j]) * 1099511628211ULL;
   }
   void add(Long64_t number) { add(&number, sizeof number); }
   void add(double number) { add(&number, sizeof number); }
   void add(const TString &text) { add(text.Data(), text.Length()); }
};

/// Uncompressed content of all baskets of a branch. The last one comes first: it may lie in the tree's header, and when
/// ROOT reads another basket, it forgets that one.
void add_baskets(TBranch *branch, Digest &hash) {
   hash.add(branch->GetEntries());
   for (Int_t number = branch->GetWriteBasket(); number >= 0; number--) {
      TBasket *basket = branch->GetBasket(number);
      if (!basket || basket->GetNevBuf() == 0) continue;
      Int_t begin = basket->GetKeylen(), end = basket->GetLast();
      hash.add((Long64_t)basket->GetNevBuf());
      hash.add(basket->GetBufferRef()->Buffer() + begin, end - begin);
      if (auto offsets = basket->GetEntryOffset()) hash.add(offsets, basket->GetNevBuf() * sizeof(Int_t));
   }
}

void add_values(TBranch *branch, Digest &hash) {
   for (auto object : *branch->GetListOfLeaves()) {
      auto leaf = static_cast<TLeaf *>(object);
      hash.add((Long64_t)leaf->GetLen());
      if (leaf->InheritsFrom("TLeafC")) hash.add(TString((char *)leaf->GetValuePointer()));
      else if (!leaf->InheritsFrom("TLeafElement") && !leaf->InheritsFrom("TLeafObject"))
         for (Int_t j = 0; j < leaf->GetLen(); j++) hash.add(leaf->GetValue(j));
   }
}

/// Objects of branches that are not split; TBufferJSON cannot show an unknown class that is a TObject.
void add_object(TBranch *branch, Digest &hash) {
   auto element = dynamic_cast<TBranchElement *>(branch);
   auto whole = dynamic_cast<TBranchObject *>(branch);
   void *object = element ? element->GetObject() : whole && whole->GetAddress() ? *(void **)whole->GetAddress() : nullptr;
   TClass *type = object && branch->GetClassName()[0] ? TClass::GetClass(branch->GetClassName()) : nullptr;
   if (type && type->HasDictionary()) hash.add(TBufferJSON::ConvertToJSON(object, type));
}

using Texts = std::map<std::string, std::string>;

void describe_branch(TBranch *branch, const std::string &prefix, Texts &found) {
   Digest hash;
   add_baskets(branch, hash);
   TString text = TString::Format("%s %s %llx", branch->ClassName(), branch->GetTitle(), hash.value);
   std::string name = prefix + branch->GetName();
   while (found.count(name)) name += "'";
   found[name] = text;
   for (auto inner : *branch->GetListOfBranches()) describe_branch(static_cast<TBranch *>(inner), name + "/", found);
}

void add_all_values(TBranch *branch, Digest &hash) {
   add_values(branch, hash);
   for (auto inner : *branch->GetListOfBranches()) add_all_values(static_cast<TBranch *>(inner), hash);
}

/// Content of each branch of a tree by its baskets.
Texts describe_baskets(TTree *tree, const std::string &without) {
   Texts found;
   for (auto object : *tree->GetListOfBranches())
      if (without != object->GetName()) describe_branch(static_cast<TBranch *>(object), "", found);
   return found;
}

/// Values of each entry of the branches of the top level, and what else a tree has.
Texts describe_tree(TTree *tree, const std::string &without, bool values) {
   Texts found;
   for (auto object : *tree->GetListOfBranches()) {
      auto branch = static_cast<TBranch *>(object);
      if (!values || without == branch->GetName()) continue;
      Digest hash;
      for (Long64_t entry = 0; entry < tree->GetEntries(); entry++) {
         if (branch->GetEntry(entry) < 0) hash.add(TString("unreadable"));
         add_all_values(branch, hash);
         add_object(branch, hash);
      }
      std::string name = std::string("values of ") + branch->GetName();
      while (found.count(name)) name += "'";
      found[name] = TString::Format("%llx", hash.value);
   }
   found["(entries)"] = std::to_string(tree->GetEntries());
   found["(class)"] = std::string(tree->ClassName()) + " " + tree->GetName() + " " + tree->GetTitle();
   found["(weight)"] = std::to_string(tree->GetWeight());
   for (auto list : {tree->GetUserInfo(), tree->GetListOfAliases(), tree->GetListOfFriends()})
      if (list)
         for (auto object : *list)
            if (!TString(object->GetName()).BeginsWith("ntupleml"))
               found[std::string("(note) ") + object->GetName()] = std::string(object->ClassName()) + " " + object->GetTitle();
   if (tree->GetTreeIndex())
      found["(index)"] = TString::Format("%s %lld %lld", tree->GetTreeIndex()->GetMajorName(), tree->GetTreeIndex()->GetN(),
                                         tree->GetEntryNumberWithIndex(1000 + 7 * 33));
   return found;
}

/// All objects of a folder but one tree: class and bytes on disk.
void describe_folder(TDirectory *folder, const std::string &prefix, const std::string &without, Texts &found) {
   for (auto object : *folder->GetListOfKeys()) {
      auto key = static_cast<TKey *>(object);
      std::string name = prefix + key->GetName();
      if (TString(key->GetClassName()).BeginsWith("TDirectory")) {
         found[name] = key->GetClassName();
         describe_folder(folder->GetDirectory(key->GetName()), name + "/", without, found);
         continue;
      }
      name += ";" + std::to_string(key->GetCycle());
      if (name == without) continue;
      std::vector<char> bytes(key->GetNbytes());
      folder->GetFile()->ReadBuffer(bytes.data(), key->GetSeekKey(), key->GetNbytes());
      Digest hash;
      hash.add(bytes.data(), bytes.size());
      found[name] = TString::Format("%s %s %llx", key->GetClassName(), key->GetTitle(), hash.value);
   }
}

/// Members of the classes that are described, but for collections of the standard library, which ROOT leaves out at times.
void describe_classes(TFile &file, Texts &found) {
   std::unique_ptr<TList> descriptions(file.GetStreamerInfoList());
   for (auto object : *descriptions) {
      auto info = dynamic_cast<TStreamerInfo *>(object);
      if (!info || TClassEdit::IsSTLCont(info->GetName())) continue;
      std::string text;
      for (auto element : *info->GetElements()) text += std::string(" ") + element->GetName();
      found["(class) " + std::string(info->GetName()) + ";" + std::to_string(info->GetClassVersion())] = text;
   }
   descriptions->SetOwner();
}

/// All that is in a file, but for a branch of a tree: lines of a name, a tabulator and a text.
std::string describe_file(const char *path, const char *tree_path, const char *without, bool values) {
   TFile file(path);
   auto tree = file.Get<TTree>(tree_path);
   if (!tree) return "(no tree)\t";
   Texts found = describe_tree(tree, without, values);
   TFile again(path);
   for (auto &[name, text] : describe_baskets(again.Get<TTree>(tree_path), without)) found["(baskets) " + name] = text;
   short newest = tree->GetDirectory()->GetKey(tree->GetName())->GetCycle();
   Texts others;
   describe_folder(&file, "", std::string(tree_path) + ";" + std::to_string(newest), others);
   for (auto &[name, text] : others) found["(object) " + name] = text;
   describe_classes(file, found);
   std::string lines;
   for (auto &[name, text] : found) lines += name + "\t" + text + "\n";
   return lines;
}

/// Values of a formula in each entry, as JSON; `null` where ROOT has no such formula.
std::string evaluate(const char *path, const char *tree_path, const char *formula) {
   TFile file(path);
   auto tree = file.Get<TTree>(tree_path);
   if (!tree) return "null";
   TTreeFormula compiled("formula", formula, tree);
   if (compiled.GetNdim() == 0 || compiled.IsString()) return "null";
   std::string text = "[";
   for (Long64_t entry = 0; entry < tree->GetEntries(); entry++) {
      tree->LoadTree(entry);
      text += entry ? ",[" : "[";
      Int_t number = compiled.GetNdata();
      for (Int_t instance = 0; instance < number; instance++) {
         double value = compiled.EvalInstance(instance);
         text += (instance ? "," : "") + (std::isfinite(value) ? std::string(TString::Format("%.17g", value)) : "NaN");
      }
      text += "]";
   }
   return text + "]";
}
